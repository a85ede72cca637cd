// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The states of the ranks of a host under a method of pair events, chunk by chunk.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <libgossip/algorithm/pair_algorithm.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/transport/group.h>
#include <libgossip/transport/shared_chunks.h>

namespace gossip::engine {

/// What pair events and the owner do to each rank's model and state. Of a relative method the state
/// is kept relative to the model, which events leave alone; of another one it is the state itself,
/// and the model a copy of its first vector.
///
/// Memory: that of transport::SharedChunks, and a second cache line a chunk.
///
/// Collective: construction and destruction. Threads: one at a time for each of the owner's
/// functions and the events'; a chunk only by who holds its lock.
class PairChunks {
 public:
  /// What became of an attempt at an event.
  enum class Event : std::uint8_t {
    kBusy,    ///< nothing was done: somebody holds a chunk, or one waits for an answer
    kPaused,  ///< nothing was done, and nothing will be: one of the two is paused
    kDone,
  };

  /// `elapsed`: by rank, the model time between two events of that rank.
  PairChunks(transport::Group& group, std::shared_ptr<const algorithm::PairAlgorithm> algorithm,
             const std::vector<VectorView>& shapes, std::vector<double> elapsed,
             std::chrono::milliseconds timeout);

  [[nodiscard]] std::size_t count() const noexcept { return chunks_.count(); }
  [[nodiscard]] std::size_t largest_bytes() const noexcept { return chunks_.largest_bytes(); }
  [[nodiscard]] std::size_t memory_bytes() const;

  [[nodiscard]] std::vector<VectorView> model() const { return chunks_.copy(kModelCopy); }
  [[nodiscard]] VectorView model(Rank of, std::size_t index) const {
    return chunks_.chunk(of, kModelCopy, index);
  }

  /// A vector of this rank's state.
  [[nodiscard]] std::vector<VectorView> state(int index) const {
    return chunks_.copy(kStateCopy + index);
  }

  /// The locks of this rank's chunks, as in transport::SharedChunks.
  void lock(std::size_t index) const { chunks_.lock_own(index); }
  [[nodiscard]] bool try_lock(std::size_t index) const { return chunks_.try_lock(rank_, index); }
  void unlock(std::size_t index) const noexcept { chunks_.unlock(rank_, index); }

  // The owner's.

  /// Locks the chunk; the owner may change its model then.
  void open(std::size_t index);

  /// Lets events go on with what the owner left.
  void close(std::size_t index);

  /// Brings the model up to date with what events did, of a chunk that is locked.
  void take_in(std::size_t index);

  /// The owner makes no steps from here on, until the next close(). The state of a relative method
  /// still goes through events, any number of them; another one's would go astray without
  /// gradients, so it stays as it is, and events with it do nothing. Blocks as lock().
  void pause(std::size_t index);

  // The events', in the communication thread.

  /// Both halves of an event with a peer that shares memory, in one pass, unless somebody holds
  /// one of the two chunks. Locks both meanwhile.
  [[nodiscard]] Event try_event(Rank peer, std::size_t index);

  /// Whether this rank's chunk, which is locked, waits for no answer.
  [[nodiscard]] bool is_free(std::size_t index) const;

  /// What this rank asks another host with; the chunk is locked, as in the next three. From here on
  /// its own half is pending; if `is_atomic`, the chunk is not free until then.
  void write_request(std::size_t index, const VectorView& out, bool is_atomic);

  /// The half of the rank that was asked with `theirs`; the difference, for the other half, to
  /// `out`. False: this rank is paused, and nothing was done.
  bool answer(std::size_t index, const VectorView& theirs, const VectorView& out);

  /// The other half.
  void apply_answer(std::size_t index, const VectorView& difference);

  /// There is no other half: who was asked is paused.
  void end_request(std::size_t index);

 private:
  /// Of a chunk; read and written by whoever holds its lock.
  struct Marks;

  static constexpr int kModelCopy = 0;
  static constexpr int kStateCopy = 1;  // the first of num_vectors()

  [[nodiscard]] Marks& marks(Rank of, std::size_t index) const;
  [[nodiscard]] std::vector<VectorView>& state_of(Rank of, std::size_t index);
  void take_in_changes(std::size_t index);
  void begin_changes(Rank of, std::size_t index, const std::vector<VectorView>& block);
  void write_payload(const VectorView& out, const VectorView& model,
                     const std::vector<VectorView>& block) const;
  template <class Work>
  void in_blocks(std::size_t index, Work&& work);
  [[nodiscard]] Event event(Rank peer, std::size_t index);

  Rank rank_;
  std::shared_ptr<const algorithm::PairAlgorithm> algorithm_;
  std::vector<double> elapsed_;
  transport::SharedChunks chunks_;
  std::unique_ptr<transport::Region> marks_;
  // Scratch of the communication thread.
  std::vector<VectorView> state_;
  std::vector<VectorView> peer_state_;
  std::vector<VectorView> own_block_;
  std::vector<VectorView> peer_block_;
  std::vector<std::byte> difference_;
  std::vector<std::byte> peer_payload_;
};

}  // namespace gossip::engine
