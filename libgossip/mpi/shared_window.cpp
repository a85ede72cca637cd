// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <sys/statvfs.h>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/mpi/check.h>
#include <libgossip/mpi/shared_window.h>

namespace gossip::mpi {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();

/// Where Linux keeps shared memory; a test points the variable at a small file system.
std::string shared_memory_folder() {
  const char* folder = std::getenv("GOSSIP_SHARED_MEMORY_DIR");
  return folder == nullptr ? "/dev/shm" : folder;
}

std::size_t bytes_free_in(const std::string& folder) {
  struct statvfs status {};
  if (statvfs(folder.c_str(), &status) != 0) return kMost;
  return status.f_bavail * status.f_frsize;
}

/// The sum, or the largest number when it does not fit.
constexpr std::size_t saturated_sum(std::size_t a, std::size_t b) {
  return a > kMost - b ? kMost : a + b;
}

/// Takes the pages now: the kernel counts only what was touched, so that a later window would be
/// granted the same memory again and the first store into it would kill the process.
void touch(std::span<std::byte> part) {
  constexpr std::size_t kPage = 4096;
  for (std::size_t i = 0; i < part.size(); i += kPage) part[i] = std::byte{0};
  if (!part.empty()) part.back() = std::byte{0};
}

}  // namespace

void detail::WindowTraits::free(Raw raw) noexcept {
  const Serial serial;
  int is_finalized = 0;
  MPI_Finalized(&is_finalized);
  if (is_finalized == 0) MPI_Win_free(&raw);
}

std::string shortage_of_shared_memory(std::size_t bytes_needed, std::size_t bytes_free,
                                      const std::string& folder) {
  // Open MPI refuses, on one rank alone, to use the last twentieth, and needs some pages of its
  // own.
  const std::size_t reserve = bytes_needed / 20 + (std::size_t{1} << 16U);
  if (saturated_sum(bytes_needed, reserve) <= bytes_free) return {};
  constexpr double kMiB = 1024.0 * 1024.0;
  return fmt::format(
      "The ranks of this host need {:.1f} MiB of shared memory, but {} has {:.1f} MiB free. "
      "Enlarge it (in a "
      "container: --shm-size; on a host: mount -o remount,size=... {}), start fewer ranks on the "
      "host, or train a "
      "smaller model.",
      static_cast<double>(bytes_needed) / kMiB, folder, static_cast<double>(bytes_free) / kMiB,
      folder);
}

std::string shortage_of_shared_memory(const Communicator& host, std::size_t own_bytes) {
  // One rank alone gets memory of its own, which nobody else has to map.
  if (host.size() == 1) return {};
  struct Bytes {
    std::size_t needed;
    std::size_t available;
  };
  const std::string folder = shared_memory_folder();
  Bytes all{0, kMost};
  for (const Bytes& one : host.all_gather(Bytes{own_bytes, bytes_free_in(folder)})) {
    all.needed = saturated_sum(all.needed, one.needed);
    all.available = std::min(all.available, one.available);
  }
  return shortage_of_shared_memory(all.needed, all.available, folder);
}

SharedWindow::SharedWindow(const Communicator& host, std::size_t bytes) {
  // MPI's bases are 8 or 16 modulo 64: over-allocate and round up.
  const std::size_t padded = saturated_sum(bytes, kAlignment);
  const std::string shortage = shortage_of_shared_memory(host, padded);
  if (!shortage.empty()) throw JointError(shortage);
  void* base = nullptr;
  MPI_Win raw = MPI_WIN_NULL;
  GOSSIP_MPI(
      MPI_Win_allocate_shared(narrow<MPI_Aint>(padded), 1, MPI_INFO_NULL, host.get(), &base, &raw));
  handle_.reset(raw);
  GOSSIP_MPI(MPI_Win_set_errhandler(raw, MPI_ERRORS_RETURN));
  for (Rank rank = 0; rank < host.size(); ++rank) {
    MPI_Aint size = 0;
    int unit = 0;
    void* part = nullptr;
    GOSSIP_MPI(MPI_Win_shared_query(raw, rank, &size, &unit, &part));
    auto space = static_cast<std::size_t>(size);
    const std::size_t usable = space - kAlignment;
    // Mappings are page-aligned in every process, so all of them round to the same byte.
    GOSSIP_ASSERT(std::align(kAlignment, usable, part, space) != nullptr, "{} bytes", size);
    parts_.emplace_back(static_cast<std::byte*>(part), usable);
  }
  touch(of(host.rank()));
  host.barrier();
}

}  // namespace gossip::mpi
