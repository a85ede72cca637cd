// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <utility>

#include <libgossip/base/collective_call.h>
#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/base/notice.h>
#include <libgossip/mpi/check.h>
#include <libgossip/mpi/communicator.h>

namespace gossip::mpi {
namespace {

/// Elements of one MPI call: the counts of MPI 3 are ints.
constexpr std::size_t kPiece = std::size_t{1} << 30U;

/// Broadcasts are copied in pieces of this size.
constexpr std::size_t kBroadcastPiece = std::size_t{1} << 22U;

/// Keeps the buffers of what has none.
const std::shared_ptr<const void> kNothing = std::make_shared<const int>(0);

}  // namespace

void detail::CommunicatorTraits::free(Raw raw) noexcept {
  const Serial serial;
  int is_finalized = 0;
  MPI_Finalized(&is_finalized);
  if (is_finalized == 0) MPI_Comm_free(&raw);
}

Communicator::Communicator(MPI_Comm owned) : handle_(owned) {
  GOSSIP_MPI(MPI_Comm_set_errhandler(get(), MPI_ERRORS_RETURN));
  GOSSIP_MPI(MPI_Comm_rank(get(), &rank_));
  GOSSIP_MPI(MPI_Comm_size(get(), &size_));
}

Communicator Communicator::duplicate(MPI_Comm user) {
  GOSSIP_CHECK(user != MPI_COMM_NULL, "A group of ranks cannot be made from MPI_COMM_NULL.");
  MPI_Comm copy = MPI_COMM_NULL;
  GOSSIP_MPI(MPI_Comm_dup(user, &copy));
  return Communicator(copy);
}

Communicator Communicator::split(int color, int key) const {
  MPI_Comm part = MPI_COMM_NULL;
  GOSSIP_MPI(MPI_Comm_split(get(), color, key, &part));
  return Communicator(part);
}

Communicator Communicator::split_by_host(int most) const {
  MPI_Comm host = MPI_COMM_NULL;
  GOSSIP_MPI(MPI_Comm_split_type(get(), MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host));
  Communicator whole(host);
  return most <= 0 ? std::move(whole) : whole.split(whole.rank() / most, whole.rank());
}

Communicator& Communicator::operator=(Communicator&& other) noexcept {
  if (this != &other) {
    if (is_disturbed_) leave();
    handle_ = std::move(other.handle_);
    rank_ = other.rank_;
    size_ = other.size_;
    is_disturbed_ = other.is_disturbed_;
  }
  return *this;
}

Communicator::~Communicator() {
  if (is_disturbed_) leave();
}

void Communicator::finish(Requests& requests, std::string_view what) const {
  const Patience& patience = CollectiveCall::patience();
  const Deadline deadline(patience.timeout);
  const auto whom = [&] {
    const std::string_view call = CollectiveCall::name();
    return fmt::format("the other {} ranks in a {}{}{}", size_ - 1, what,
                       call.empty() ? "" : " of ", call);
  };
  Notice notice(rank_, deadline);
  const auto while_waiting = [&] {
    notice.look(whom);
    if (patience.while_waiting) patience.while_waiting();
  };
  try {
    if (requests.wait(deadline, std::cref(while_waiting))) return;
  } catch (...) {
    disturb();
    throw;
  }
  disturb();
  throw TimeoutError(-1, fmt::format("Rank {} waited {} ms for {}: one of them has ended or hangs.",
                                     rank_, patience.timeout.count(), whom()));
}

void Communicator::barrier() const {
  Requests requests;
  GOSSIP_MPI(MPI_Ibarrier(get(), requests.add(kNothing)));
  finish(requests, "barrier");
}

void Communicator::broadcast(std::span<std::byte> bytes, Rank root) const {
  for (std::size_t begin = 0; begin < bytes.size(); begin += kBroadcastPiece) {
    const std::span<std::byte> piece =
        bytes.subspan(begin, std::min(kBroadcastPiece, bytes.size() - begin));
    const auto copy = std::make_shared<std::vector<std::byte>>(piece.begin(), piece.end());
    Requests requests;
    GOSSIP_MPI(MPI_Ibcast(copy->data(), narrow_count(copy->size()), MPI_BYTE, root, get(),
                          requests.add(copy)));
    finish(requests, "broadcast");
    if (rank_ != root) std::ranges::copy(*copy, piece.begin());
  }
}

std::vector<std::string> Communicator::all_gather(std::string_view text) const {
  const std::vector<std::int64_t> bytes = all_gather(static_cast<std::int64_t>(text.size()));
  check_lengths(bytes);
  struct Buffers {
    std::string own;
    std::string all;
    std::vector<int> lengths;
    std::vector<int> offsets;
  };
  const auto buffers = std::make_shared<Buffers>();
  int end = 0;
  for (const std::int64_t length : bytes) {
    buffers->lengths.push_back(static_cast<int>(length));
    buffers->offsets.push_back(end);
    end += static_cast<int>(length);
  }
  buffers->own = text;
  buffers->all.resize(static_cast<std::size_t>(end));
  Requests requests;
  GOSSIP_MPI(MPI_Iallgatherv(buffers->own.data(), static_cast<int>(text.size()), MPI_CHAR,
                             buffers->all.data(), buffers->lengths.data(), buffers->offsets.data(),
                             MPI_CHAR, get(), requests.add(buffers)));
  finish(requests, "gather");
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    texts.push_back(buffers->all.substr(static_cast<std::size_t>(buffers->offsets[i]),
                                        static_cast<std::size_t>(bytes[i])));
  }
  return texts;
}

/// Together they are no more bytes than one call of MPI can gather.
void Communicator::check_lengths(const std::vector<std::int64_t>& lengths) const {
  const auto largest = std::ranges::max_element(lengths);
  std::int64_t sum = 0;
  for (const std::int64_t length : lengths) sum += length;
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  if (sum <= kMost) return;
  throw JointError(fmt::format(
      "The texts that {} ranks gather have {} bytes together (the longest, rank {}'s, {} bytes), "
      "but at most {} can be gathered at once: gather less, or in parts.",
      size_, sum, largest - lengths.begin(), *largest, kMost));
}

void Communicator::gather(std::span<const std::byte> own, std::span<std::byte> all) const {
  GOSSIP_ASSERT(all.size() == own.size() * static_cast<std::size_t>(size_),
                "{} bytes of each of {} ranks do not fill {}", own.size(), size_, all.size());
  struct Buffers {
    std::vector<std::byte> own;
    std::vector<std::byte> all;
  };
  const auto buffers = std::make_shared<Buffers>(std::vector(own.begin(), own.end()),
                                                 std::vector<std::byte>(all.size()));
  const int bytes = narrow_count(own.size());
  Requests requests;
  GOSSIP_MPI(MPI_Iallgather(buffers->own.data(), bytes, MPI_BYTE, buffers->all.data(), bytes,
                            MPI_BYTE, get(), requests.add(buffers)));
  finish(requests, "gather");
  std::ranges::copy(buffers->all, all.begin());
}

void Communicator::sum_async(const VectorView& vector, const std::shared_ptr<const void>& memory,
                             Requests& requests) const {
  visit(vector, [&]<class T>(std::span<T> values) {
    const MPI_Datatype type = kDtypeOf<T> == Dtype::kFloat32 ? MPI_FLOAT : MPI_DOUBLE;
    for (std::size_t begin = 0; begin < values.size(); begin += kPiece) {
      const std::span<T> piece = values.subspan(begin, std::min(kPiece, values.size() - begin));
      GOSSIP_MPI(MPI_Iallreduce(MPI_IN_PLACE, piece.data(), narrow_count(piece.size()), type,
                                MPI_SUM, get(), requests.add(memory)));
    }
  });
}

void Communicator::max_async(const std::shared_ptr<std::vector<double>>& numbers,
                             Requests& requests) const {
  GOSSIP_MPI(MPI_Iallreduce(MPI_IN_PLACE, numbers->data(), narrow_count(numbers->size()),
                            MPI_DOUBLE, MPI_MAX, get(), requests.add(numbers)));
}

}  // namespace gossip::mpi
