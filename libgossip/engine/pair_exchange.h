// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The pair event inside a host, directly on both ranks' memory.

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include <libgossip/base/vector_view.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

/// \f$ x_i \leftarrow x_i - \alpha m,\ x_j \leftarrow x_j + \alpha m \f$ with the same \f$ m = x_i
/// - x_j \f$, so that the sum is kept whatever happens at the same time. Every rank's copy lies in
/// memory that all ranks of the host address; a pair event is one fused pass over both. Copies are
/// locked piece by piece (1 MB), in rank order, so events of many pairs may overlap.
///
/// Memory: the copy itself, and one word a piece.
///
/// Collective: construction and destruction. Needs a group on one host.
/// Threads: one per rank.
class PairExchange {
 public:
  /// Every rank has a copy of `size` elements; zero at first. Throws gossip::Error on every rank
  /// when they pass different types or sizes.
  PairExchange(transport::Group& group, Dtype dtype, std::size_t size,
               std::chrono::milliseconds timeout = std::chrono::minutes(5));

  /// This rank's live copy. While others may exchange with it, touch it under lock(piece) only.
  [[nodiscard]] VectorView copy() const { return copy_of(rank_); }

  /// One pair event with `peer`, which need not take part: it may compute meanwhile. Blocks while
  /// others hold a piece of either copy; throws TimeoutError naming the owner of the copy.
  void exchange(Rank peer, double alpha = 0.5);

  /// One pair event to which both ranks come, as in a synchronous matching, with the same `alpha`;
  /// each does half of the pass. Blocks until both copies are done. Throws TimeoutError naming the
  /// peer.
  void meet(Rank peer, double alpha = 0.5);

  [[nodiscard]] std::size_t num_pieces() const noexcept { return num_pieces_; }

  /// Locks and unlocks one piece of this rank's copy, for the owner to change it.
  void lock(std::size_t piece) { lock_piece(rank_, piece); }
  void unlock(std::size_t piece) { unlock_piece(rank_, piece); }

  /// The elements of one piece of this rank's copy.
  [[nodiscard]] VectorView piece(std::size_t index) const { return piece_of(rank_, index); }

 private:
  struct Meeting;
  struct Lock;

  [[nodiscard]] Meeting& meeting(Rank of, Rank with) const;
  [[nodiscard]] Lock& piece_lock(Rank of, std::size_t piece) const;
  [[nodiscard]] VectorView copy_of(Rank rank) const;
  [[nodiscard]] VectorView piece_of(Rank rank, std::size_t index) const;
  void lock_piece(Rank of, std::size_t piece);
  void unlock_piece(Rank of, std::size_t piece) noexcept;
  void exchange_piece(Rank peer, std::size_t piece, double alpha);

  Rank rank_;
  int ranks_;
  Dtype dtype_;
  std::size_t size_;
  std::size_t num_pieces_;
  std::chrono::milliseconds timeout_;
  std::unique_ptr<transport::Region> region_;
  std::vector<std::uint64_t> meetings_;  // with each rank so far
};

}  // namespace gossip::engine
