// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <memory>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/mpi/check.h>
#include <libgossip/mpi/window.h>

namespace gossip::mpi {
namespace {

constexpr std::size_t kAlignment = 64;

}  // namespace

namespace {

/// The first text that is not empty, with the rank it comes from.
std::pair<std::size_t, std::string> first_of(const std::vector<std::string>& texts) {
  const auto found = std::ranges::find_if(texts, [](const std::string& t) { return !t.empty(); });
  if (found == texts.end()) return {};
  return {static_cast<std::size_t>(found - texts.begin()), *found};
}

}  // namespace

bool do_windows_tell_groups_apart() noexcept {
#if defined(OMPI_MAJOR_VERSION) && OMPI_MAJOR_VERSION < 5
  return false;
#else
  return true;
#endif
}

/// Goes on when all processes have come this far, and otherwise throws on all of them: one that
/// failed alone would leave the others waiting.
Window::Window(const Communicator& communicator, std::size_t bytes) {
  const std::size_t padded = bytes + kAlignment;
  const std::string shortage = shortage_of_shared_memory(communicator.split_by_host(), padded);
  if (const auto [rank, text] = first_of(communicator.all_gather(shortage)); !text.empty()) {
    throw JointError(text);
  }
  int code = MPI_SUCCESS;
  std::string failure;
  try {
    allocate(communicator, padded);
  } catch (const MpiError& error) {
    code = error.code();
    failure = error.what();
  }
  if (const auto [rank, text] = first_of(communicator.all_gather(failure)); !text.empty()) {
    if (!failure.empty()) throw MpiError(code, failure);
    throw MpiError(MPI_ERR_OTHER, fmt::format("on rank {}: {}", rank, text));
  }
  const Part own{padded - own_.size(), bytes};
  own_ = own_.first(bytes);
  std::ranges::fill(own_, std::byte{0});
  parts_ = communicator.all_gather(own);
  // Not MPI_Win_lock_all: there a flush of Open MPI waits for the puts to all ranks.
  for (Rank rank = 0; rank < communicator.size(); ++rank) {
    GOSSIP_MPI(MPI_Win_lock(MPI_LOCK_SHARED, rank, MPI_MODE_NOCHECK, handle_.get()));
  }
  communicator.barrier();
}

/// Leaves in own_ what lies behind the first boundary.
void Window::allocate(const Communicator& communicator, std::size_t padded) {
  void* base = nullptr;
  MPI_Win raw = MPI_WIN_NULL;
  GOSSIP_MPI(MPI_Win_allocate(narrow<MPI_Aint>(padded), 1, MPI_INFO_NULL, communicator.get(), &base,
                              &raw));
  handle_.reset(raw);
  GOSSIP_MPI(MPI_Win_set_errhandler(raw, MPI_ERRORS_RETURN));
  std::size_t space = padded;
  void* aligned = base;
  GOSSIP_ASSERT(std::align(kAlignment, padded - kAlignment, aligned, space) != nullptr, "{} bytes",
                padded);
  own_ = {static_cast<std::byte*>(aligned), space};
}

Window::~Window() {
  if (!handle_ || lifetime_.ends_alone()) return;
  const Serial serial;
  int is_finalized = 0;
  MPI_Finalized(&is_finalized);
  if (is_finalized != 0) return;
  for (Rank rank = 0; rank < static_cast<Rank>(parts_.size()); ++rank) {
    MPI_Win_unlock(rank, handle_.get());
  }
}

void Window::put(std::span<const std::byte> bytes, Rank to, std::size_t offset,
                 Operations& operations, std::uint64_t number) const {
  const Part& part = parts_[static_cast<std::size_t>(to)];
  GOSSIP_ASSERT(offset + bytes.size() <= part.bytes, "{} bytes at {} of {}", bytes.size(), offset,
                part.bytes);
  const int count = narrow_count(bytes.size());
  const auto start = narrow<MPI_Aint>(part.start + offset);
  GOSSIP_MPI(MPI_Rput(bytes.data(), count, MPI_BYTE, to, start, count, MPI_BYTE, handle_.get(),
                      operations.add(number)));
}

void Window::flush(Rank to) const { GOSSIP_MPI(MPI_Win_flush(to, handle_.get())); }

void Window::sync() const { GOSSIP_MPI(MPI_Win_sync(handle_.get())); }

std::string Window::component() const {
  std::array<char, MPI_MAX_OBJECT_NAME> name{};
  int length = 0;
  GOSSIP_MPI(MPI_Win_get_name(handle_.get(), name.data(), &length));
  return {name.data(), static_cast<std::size_t>(length)};
}

}  // namespace gossip::mpi
