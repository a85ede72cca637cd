// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Operations of MPI that finish one by one.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <mpi.h>

#include <libgossip/base/types.h>
#include <libgossip/mpi/communicator.h>

namespace gossip::mpi {

/// The largest tag that a message may have. Local.
[[nodiscard]] int largest_tag();

/// Started operations, each with a number of the caller's. Keeps no buffer alive: whoever starts an
/// operation keeps its buffer until poll() named it. Local; does not block. Threads: one at a time.
class Operations {
 public:
  Operations() = default;
  Operations(const Operations&) = delete;
  Operations& operator=(const Operations&) = delete;

  /// Point-to-point messages of at most 2^31 - 1 bytes. Those between two ranks with one tag arrive
  /// in the order in which they were sent.
  void send(const Communicator& communicator, std::span<const std::byte> bytes, Rank to, int tag,
            std::uint64_t number);

  /// As send(), but finished only when the receiver's MPI has taken notice.
  void send_synchronously(const Communicator& communicator, std::span<const std::byte> bytes,
                          Rank to, int tag, std::uint64_t number);
  void receive(const Communicator& communicator, std::span<std::byte> bytes, Rank from, int tag,
               std::uint64_t number);

  /// A place for the handle of an operation that another class starts.
  [[nodiscard]] MPI_Request* add(std::uint64_t number);

  /// Drives MPI, and appends the numbers of the operations that have finished.
  void poll(std::vector<std::uint64_t>& finished);

  [[nodiscard]] bool empty() const noexcept { return pending_.empty(); }

 private:
  void drop(std::span<const int> entries);

  std::vector<MPI_Request> pending_;
  std::vector<std::uint64_t> numbers_;
  std::vector<int> indices_;  // kept, so that a poll allocates nothing
};

}  // namespace gossip::mpi
