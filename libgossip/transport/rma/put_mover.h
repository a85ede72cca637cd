// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Payloads by one-sided puts.

#include <list>

#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/operations.h>
#include <libgossip/mpi/window.h>
#include <libgossip/transport/payload_mover.h>

namespace gossip::transport::rma {

/// The sender puts the pieces into the receiver's window and flushes; only then it puts the slot's
/// sequence word, which the receiver looks at. The receiver's MPI takes no part beyond progress.
class PutMover final : public PayloadMover {
 public:
  /// Takes the communicator over. `piece_bytes`: of one put.
  PutMover(mpi::Communicator communicator, std::size_t piece_bytes);

  [[nodiscard]] std::string_view name() const override { return "rma"; }
  [[nodiscard]] std::unique_ptr<SlotMemory> make_slots(int count, std::size_t capacity) override;
  void expect(Rank from, const Filling& filling) override;
  void put(Rank to, std::span<const std::byte> payload, const Filling& filling) override;
  void poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) override;
  [[nodiscard]] bool is_busy() const override { return !expected_.empty() || !sending_.empty(); }

  /// What MPI calls the component of the windows made so far; empty where it has no name for it.
  [[nodiscard]] const std::string& component() const noexcept { return component_; }

 private:
  class WindowSlots;
  struct Sending {
    Rank to;
    WindowSlots* memory;
    int slot;
    std::uint64_t stamp;
    std::uint64_t number;
    std::span<const std::byte> payload;
    std::size_t started = 0;  // bytes
    int under_way = 0;        // puts
    bool has_put_word = false;
  };

  void start_pieces(Sending& sending);
  void put_word(Sending& sending);

  mpi::Communicator communicator_;
  std::size_t piece_bytes_;
  std::string component_;
  mpi::Operations puts_;
  std::vector<Filling> expected_;
  std::list<Sending> sending_;  // nodes stay where they are while MPI reads the stamp
  std::vector<std::uint64_t> finished_;
};

}  // namespace gossip::transport::rma
