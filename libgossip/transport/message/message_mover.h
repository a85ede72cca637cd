// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Payloads as non-blocking messages.

#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/operations.h>
#include <libgossip/transport/payload_mover.h>

namespace gossip::transport::message {

/// The receiver posts receives before the sender is told of the slot; the sender keeps a few pieces
/// of each payload under way. Works with every MPI library.
class MessageMover final : public PayloadMover {
 public:
  /// Takes the communicator over. `piece_bytes`: of one message.
  MessageMover(mpi::Communicator communicator, std::size_t piece_bytes);

  [[nodiscard]] std::string_view name() const override { return "message"; }
  [[nodiscard]] std::unique_ptr<SlotMemory> make_slots(int count, std::size_t capacity,
                                                       const NetworkMembers& members) override;
  void expect(Rank from, const Filling& filling) override;
  void put(Rank to, std::span<const std::byte> payload, const Filling& filling) override;
  void poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) override;
  [[nodiscard]] bool is_busy() const override { return !receiving_.empty() || !sending_.empty(); }
  void leave() noexcept override { communicator_.leave(); }

 private:
  /// The pieces of one filling, whose number both sides know beforehand.
  struct Transfer {
    Rank peer;
    int tag;
    std::uint64_t number;
    std::size_t bytes;        // of the filling
    std::size_t started = 0;  // bytes
    int pieces_under_way = 0;
  };
  struct Receiving : Transfer {
    std::span<std::byte> slot;
  };
  struct Sending : Transfer {
    std::span<const std::byte> payload;
  };

  void start_pieces(Receiving& receiving);
  void start_pieces(Sending& sending);
  template <class Direction>
  void advance(mpi::Operations& operations, std::vector<Direction>& transfers,
               std::vector<std::uint64_t>& done);

  mpi::Communicator communicator_;
  std::size_t piece_bytes_;
  mpi::Operations receives_;
  mpi::Operations sends_;
  std::vector<Receiving> receiving_;
  std::vector<Sending> sending_;
  std::vector<std::uint64_t> finished_;  // kept, so that a poll allocates nothing
};

}  // namespace gossip::transport::message
