// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/base/narrow.h>
#include <libgossip/mpi/check.h>
#include <libgossip/mpi/operations.h>

namespace gossip::mpi {

MPI_Request* Operations::add(std::uint64_t number) {
  numbers_.push_back(number);
  return &pending_.emplace_back(MPI_REQUEST_NULL);
}

void Operations::send(const Communicator& communicator, std::span<const std::byte> bytes, Rank to,
                      int tag, std::uint64_t number) {
  GOSSIP_MPI(MPI_Isend(bytes.data(), narrow_count(bytes.size()), MPI_BYTE, to, tag,
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
  for (int i = count - 1; i >= 0; --i) {
    const int index = indices_[static_cast<std::size_t>(i)];
    pending_.erase(pending_.begin() + index);
    numbers_.erase(numbers_.begin() + index);
  }
}

}  // namespace gossip::mpi
