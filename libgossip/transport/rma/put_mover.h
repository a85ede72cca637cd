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
/// A flush has no form that does not block; it waits for all puts of that window to that rank, and
/// one towards a process that is stopped or dead would hold up everything else. So payloads go
/// through a window to a rank one at a time, and before it flushes the sender makes sure that the
/// receiver lives, by an empty message behind the pieces. (MPICH's flush waits for the puts to all
/// ranks: there a rank that stops in the middle of a payload does hold up who sends it.) The slots
/// take turns among two windows, so that one payload is on the wire while the end of another one is
/// waited for. More under way is slower: over TCP puts are answered, and answers stand in line
/// behind the puts of the other direction.
class PutMover final : public PayloadMover {
 public:
  /// Takes the communicator over. `piece_bytes`: of one put.
  PutMover(mpi::Communicator communicator, std::size_t piece_bytes);

  [[nodiscard]] std::string_view name() const override { return "rma"; }
  [[nodiscard]] std::unique_ptr<SlotMemory> make_slots(int count, std::size_t capacity,
                                                       const NetworkMembers& members) override;
  void expect(Rank from, const Filling& filling) override;
  void put(Rank to, std::span<const std::byte> payload, const Filling& filling) override;
  void poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) override;
  [[nodiscard]] bool is_busy() const override;
  void leave() noexcept override;

  /// What MPI calls the component of the windows made so far; empty where it has no name for it.
  [[nodiscard]] const std::string& component() const noexcept { return component_; }

 private:
  class WindowSlots;
  struct Sending {
    Rank to = 0;         // in the network
    Rank in_window = 0;  // the same one
    WindowSlots* memory = nullptr;
    int slot = 0;
    int tag = 0;
    std::uint64_t stamp = 0;
    std::uint64_t number = 0;
    std::span<const std::byte> payload;
    std::size_t started = 0;  // bytes
    int under_way = 0;        // puts, then the sign of life too
    bool is_closed = false;   // everything was started
  };
  /// The payloads to one rank through one window. Nodes stay where they are while MPI reads a
  /// stamp.
  struct Route {
    Rank to = 0;  // in the window
    const mpi::Window* window = nullptr;
    std::list<Sending> sending;  // at most one
    std::list<Sending> waiting;
    std::list<Sending> announced;  // their sequence words are under way
  };

  [[nodiscard]] Route& route(Rank to, const mpi::Window& window);
  void start(Route& route);
  void start_pieces(Sending& sending);
  void finish(Route& route);
  void poll_puts();
  void poll_words(std::vector<std::uint64_t>& sent);
  void poll_arrivals(std::vector<std::uint64_t>& arrived);

  mpi::Communicator communicator_;
  std::size_t piece_bytes_;
  std::string component_;
  mpi::Operations puts_;  // and signs of life
  mpi::Operations words_;
  mpi::Operations signs_of_life_;  // received
  std::vector<Filling> expected_;
  std::list<Route> routes_;
  std::list<Sending> spare_;  // so that a payload allocates nothing
  std::list<Route> spare_routes_;
  std::vector<std::uint64_t> finished_;
};

}  // namespace gossip::transport::rma
