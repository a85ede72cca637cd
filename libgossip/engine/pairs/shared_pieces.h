// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Vectors of every rank that the ranks of its host change together, piece by piece.

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include <libgossip/base/vector_view.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

/// Each rank has several copies of a list of vectors, in memory that all ranks of its host address,
/// cut into pieces of 512 KB. All copies of a piece have one lock; whoever holds it may change
/// them.
///
/// Memory: the copies, and one cache line a piece.
///
/// Collective: construction and destruction. Threads: any, under the locks.
class SharedPieces {
 public:
  static constexpr std::size_t kPieceBytes = std::size_t{1} << 19U;

  /// `shapes`: types and sizes of the vectors, the same on all ranks (their data is not used).
  /// Everything is zero at first, and the pieces of each rank are locked by itself.
  SharedPieces(transport::Group& group, const std::vector<VectorView>& shapes, int copies,
               std::chrono::milliseconds timeout);

  [[nodiscard]] std::size_t count() const noexcept { return pieces_.size(); }

  /// The largest piece.
  [[nodiscard]] std::size_t largest_bytes() const noexcept { return largest_bytes_; }

  /// A piece of one copy of `of`, which shares memory with this rank.
  [[nodiscard]] VectorView piece(Rank of, int copy, std::size_t index) const;

  /// The vectors of one of this rank's copies.
  [[nodiscard]] std::vector<VectorView> copy(int copy) const;

  [[nodiscard]] bool try_lock(Rank of, std::size_t index) const;
  void unlock(Rank of, std::size_t index) const noexcept;

  /// Locks a piece of this rank. Blocks; throws TimeoutError naming who holds it.
  void lock_own(std::size_t index) const;

  /// A mark of a piece, read and written by whoever holds its lock; false at first.
  [[nodiscard]] bool& is_changed(Rank of, std::size_t index) const;

  /// A second mark: of pieces that wait for an answer.
  [[nodiscard]] bool& is_owed(Rank of, std::size_t index) const;

  /// A third one: of pieces whose owner is away.
  [[nodiscard]] bool& is_away(Rank of, std::size_t index) const;

  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  struct Lock;
  struct Piece {
    Dtype dtype;
    std::size_t offset;  // bytes from the start of a copy
    std::size_t size;    // elements
  };

  [[nodiscard]] Lock& lock_of(Rank of, std::size_t index) const;
  [[nodiscard]] std::byte* start_of(Rank of, int copy) const;

  Rank rank_;
  std::chrono::milliseconds timeout_;
  std::vector<VectorView> shapes_;
  std::vector<std::size_t> offsets_;  // of the vectors in a copy
  std::vector<Piece> pieces_;
  std::size_t largest_bytes_ = 0;
  std::size_t copy_bytes_ = 0;
  std::unique_ptr<transport::Region> region_;
};

}  // namespace gossip::engine
