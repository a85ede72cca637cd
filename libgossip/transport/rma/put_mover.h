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
///
/// A flush has no form that does not block; it waits for all puts to that rank, and one towards a
/// process that is stopped or dead would hold up everything else. So payloads to one slot memory of
/// a rank go in batches: when their puts are over, the sender makes sure that the receiver lives, by
/// empty messages to it, and then flushes once for all of them.
class PutMover final : public PayloadMover {
 public:
  /// Takes the communicator over. `piece_bytes`: of one put.
  PutMover(mpi::Communicator communicator, std::size_t piece_bytes);

  [[nodiscard]] std::string_view name() const override { return "rma"; }
  [[nodiscard]] std::unique_ptr<SlotMemory> make_slots(int count, std::size_t capacity) override;
  void expect(Rank from, const Filling& filling) override;
  void put(Rank to, std::span<const std::byte> payload, const Filling& filling) override;
  void poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) override;
  [[nodiscard]] bool is_busy() const override;
  void leave() noexcept override { communicator_.leave(); }

  /// What MPI calls the component of the windows made so far; empty where it has no name for it.
  [[nodiscard]] const std::string& component() const noexcept { return component_; }

 private:
  class WindowSlots;
  struct Sending {
    Rank to = 0;
    WindowSlots* memory = nullptr;
    int slot = 0;
    int tag = 0;
    std::uint64_t stamp = 0;
    std::uint64_t number = 0;
    std::span<const std::byte> payload;
    std::size_t started = 0;  // bytes; more than 0: in the batch
  };
  enum class Stage { kPieces, kSignsOfLife, kWords };
  /// The payloads to one slot memory of a rank.
  struct Route {
    Rank to = 0;
    WindowSlots* memory = nullptr;
    Stage stage = Stage::kPieces;
    std::size_t batch_bytes = 0;
    int under_way = 0;  // operations of this stage
    std::list<Sending> waiting;
    std::list<Sending> batch;  // nodes stay where they are while MPI reads the stamp
  };

  [[nodiscard]] Route& route(Rank to, WindowSlots* memory);
  [[nodiscard]] Route& route_of(std::uint64_t number);
  void start_pieces(Route& route);
  void start_pieces(Route& route, Sending& sending);
  void go_on(Route& route, std::vector<std::uint64_t>& sent);
  void poll_puts(std::vector<std::uint64_t>& sent);
  void poll_words(std::vector<std::uint64_t>& arrived);

  mpi::Communicator communicator_;
  std::size_t piece_bytes_;
  std::string component_;
  mpi::Operations puts_;
  mpi::Operations signs_of_life_;  // received
  std::vector<Filling> expected_;
  std::list<Route> routes_;
  std::list<Sending> spare_;  // so that a payload allocates nothing
  std::vector<std::uint64_t> finished_;
};

}  // namespace gossip::transport::rma
