// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/base/narrow.h>
#include <libgossip/mpi/check.h>
#include <libgossip/mpi/operations.h>

namespace gossip::mpi {

int largest_tag() {
  constexpr int kLeast = 32767;  // what every MPI grants
  int* largest = nullptr;
  int is_known = 0;
  GOSSIP_MPI(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &largest, &is_known));
  return is_known != 0 ? *largest : kLeast;
}

MPI_Request* Operations::add(std::uint64_t number) {
  numbers_.push_back(number);
  return &pending_.emplace_back(MPI_REQUEST_NULL);
}

void Operations::send(const Communicator& communicator, std::span<const std::byte> bytes, Rank to,
                      int tag, std::uint64_t number) {
  GOSSIP_MPI(MPI_Isend(bytes.data(), narrow_count(bytes.size()), MPI_BYTE, to, tag,
                       communicator.get(), add(number)));
}

void Operations::send_synchronously(const Communicator& communicator,
                                    std::span<const std::byte> bytes, Rank to, int tag,
                                    std::uint64_t number) {
  GOSSIP_MPI(MPI_Issend(bytes.data(), narrow_count(bytes.size()), MPI_BYTE, to, tag,
                        communicator.get(), add(number)));
}

void Operations::receive(const Communicator& communicator, std::span<std::byte> bytes, Rank from,
                         int tag, std::uint64_t number) {
  GOSSIP_MPI(MPI_Irecv(bytes.data(), narrow_count(bytes.size()), MPI_BYTE, from, tag,
                       communicator.get(), add(number)));
}

void Operations::poll(std::vector<std::uint64_t>& finished) {
  if (pending_.empty()) return;
  indices_.resize(pending_.size());
  int count = 0;
  GOSSIP_MPI(MPI_Testsome(narrow_count(pending_.size()), pending_.data(), &count, indices_.data(),
                          MPI_STATUSES_IGNORE));
  if (count == MPI_UNDEFINED) count = 0;
  std::sort(indices_.begin(), indices_.begin() + count);  // in the order in which they were started
  for (int i = 0; i < count; ++i) {
    finished.push_back(numbers_[static_cast<std::size_t>(indices_[static_cast<std::size_t>(i)])]);
  }
  drop(std::span<const int>(indices_).first(static_cast<std::size_t>(count)));
}

/// Closes the gaps that these entries, ascending, leave.
void Operations::drop(std::span<const int> entries) {
  if (entries.empty()) return;
  std::size_t next = 0;
  auto kept = static_cast<std::size_t>(entries.front());
  for (std::size_t i = kept; i < pending_.size(); ++i) {
    if (next < entries.size() && i == static_cast<std::size_t>(entries[next])) {
      ++next;
      continue;
    }
    pending_[kept] = pending_[i];
    numbers_[kept++] = numbers_[i];
  }
  pending_.resize(kept, MPI_REQUEST_NULL);
  numbers_.resize(kept);
}

}  // namespace gossip::mpi
