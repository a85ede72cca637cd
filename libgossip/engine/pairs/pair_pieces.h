// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The states of the ranks of a host under a method of pair events, piece by piece.

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include <libgossip/algorithm/pair_algorithm.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/engine/pairs/shared_pieces.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

/// What pair events and the owner do to each rank's model and state. Of a relative method the state
/// is kept relative to the model, which events leave alone; of another one it is the state itself,
/// and the model a copy of its first vector.
///
/// Collective: construction and destruction. Threads: one at a time for each of the owner's
/// functions and the events'; a piece only by who holds its lock.
class PairPieces final : public SharedPieces {
 public:
  /// `elapsed`: by rank, the model time between two events of that rank.
  PairPieces(transport::Group& group, std::shared_ptr<const algorithm::PairAlgorithm> algorithm,
             const std::vector<VectorView>& shapes, std::vector<double> elapsed,
             std::chrono::milliseconds timeout);

  [[nodiscard]] std::vector<VectorView> model() const { return copy(kModelCopy); }
  [[nodiscard]] VectorView model(Rank of, std::size_t index) const {
    return piece(of, kModelCopy, index);
  }

  /// A vector of this rank's state.
  [[nodiscard]] std::vector<VectorView> state(int index) const { return copy(kStateCopy + index); }

  // The owner's.

  /// Locks the piece, as lock_own() does; the owner may change its model then.
  void open(std::size_t index);

  /// Lets events go on with what the owner left.
  void close(std::size_t index);

  /// Brings the model up to date with what events did, of a piece that is locked.
  void take_in(std::size_t index);

  /// The owner makes no steps from here on, until the next close(). The state of a relative method
  /// still goes through events, any number of them; another one's would go astray without
  /// gradients, so it stays as it is, and events with it do nothing.
  void leave(std::size_t index);

  // The events', in the communication thread.

  /// Whether the piece may take part in an event now.
  [[nodiscard]] bool is_free(Rank of, std::size_t index) const { return !is_owed(of, index); }

  /// Both halves of an event with a peer that shares memory, in one pass. Both pieces are locked.
  /// False: one of the two is away, and nothing was done.
  bool event(Rank peer, std::size_t index);

  /// What this rank asks another host with. From here on its own half is owed; if `is_atomic`, the
  /// piece is not free until then.
  void write_request(std::size_t index, const VectorView& out, bool is_atomic);

  /// The half of the rank that was asked with `theirs`; the difference, for the other half, to
  /// `out`. False: this rank is away, and nothing was done.
  bool answer(std::size_t index, const VectorView& theirs, const VectorView& out);

  /// The other half.
  void apply_answer(std::size_t index, const VectorView& difference);

  /// There is no other half: who was asked is away.
  void end_request(std::size_t index) { is_owed(rank_, index) = false; }

 private:
  static constexpr int kModelCopy = 0;
  static constexpr int kStateCopy = 1;  // the first of num_vectors()

  [[nodiscard]] std::vector<VectorView>& state_of(Rank of, std::size_t index);
  void take_in_changes(std::size_t index);
  void begin_changes(Rank of, std::size_t index, const std::vector<VectorView>& block);
  void write_payload(const VectorView& out, const VectorView& model,
                     const std::vector<VectorView>& block) const;
  template <class Work>
  void in_blocks(std::size_t index, Work&& work);

  Rank rank_;
  std::shared_ptr<const algorithm::PairAlgorithm> algorithm_;
  std::vector<double> elapsed_;
  // Scratch of the communication thread.
  std::vector<VectorView> state_;
  std::vector<VectorView> peer_state_;
  std::vector<VectorView> own_block_;
  std::vector<VectorView> peer_block_;
  std::vector<std::byte> difference_;
  std::vector<std::byte> peer_payload_;
};

}  // namespace gossip::engine
