// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Small records between processes.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include <mpi.h>

#include <libgossip/base/types.h>
#include <libgossip/mpi/communicator.h>

namespace gossip::mpi {

/// Records of one size that any process may send to any other at any time; those of one sender
/// arrive in order.
///
/// Collective: construction, finish() and destruction, which does not wait for records under way;
/// unless finish() came before it, the communicator is left behind with them.
/// Everything else is local and does not block; progress() must be called now and then.
/// Threads: one at a time.
class Mailbox {
 public:
  static constexpr std::size_t kBytes = 160;
  using Record = std::array<std::byte, kBytes>;

  /// Takes the communicator over: nobody else sends on it.
  explicit Mailbox(Communicator communicator);
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox();

  void send(const Record& record, Rank to);

  /// The next record that has arrived, and its sender.
  [[nodiscard]] std::optional<std::pair<Rank, Record>> receive();

  /// Drives sends on. Returns whether some are still under way.
  bool progress();

  /// As far as the caller knows nothing is under way, neither from nor to this process: the end
  /// frees the communicator without finish(), unless a record has come that nobody took. Local.
  void note_finished();

  /// Receives and drops what the others have still sent to this process, so that nothing is under
  /// way when the mailbox ends. Throws TimeoutError when it does not come in time.
  void finish(std::chrono::milliseconds timeout);

  [[nodiscard]] const Communicator& communicator() const noexcept { return communicator_; }

 private:
  struct Slot {
    Record record;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  [[nodiscard]] std::uint64_t due() const;

  Communicator communicator_;
  std::list<Slot> outgoing_;         // nodes stay where they are while MPI reads them
  std::list<Slot> spare_;            // so that a record allocates nothing
  std::vector<std::uint64_t> sent_;  // records, by rank
  std::uint64_t received_ = 0;
  bool is_finished_ = false;
};

}  // namespace gossip::mpi
