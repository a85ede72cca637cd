// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Vectors of every rank that the ranks of its host change together, chunk by chunk.

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include <libgossip/base/vector_view.h>
#include <libgossip/transport/group.h>

namespace gossip::transport {

/// Each rank has several copies of a list of vectors, in memory that all ranks of its host address,
/// cut into chunks of 512 KB. All copies of a chunk have one lock; whoever holds it may change
/// them.
///
/// Memory: the copies, and one cache line a chunk.
///
/// Collective: construction and destruction. Threads: any, under the locks.
class SharedChunks {
 public:
  static constexpr std::size_t kChunkBytes = std::size_t{1} << 19U;

  /// `shapes`: types and sizes of the vectors, the same on all ranks (their data is not used).
  /// Everything is zero at first, and the chunks of each rank are locked by itself.
  SharedChunks(Group& group, const std::vector<VectorView>& shapes, int copies,
               std::chrono::milliseconds timeout);

  [[nodiscard]] std::size_t count() const noexcept { return chunks_.size(); }

  /// The largest chunk.
  [[nodiscard]] std::size_t largest_bytes() const noexcept { return largest_bytes_; }

  /// A chunk of one copy of `of`, which shares memory with this rank.
  [[nodiscard]] VectorView chunk(Rank of, int copy, std::size_t index) const;

  /// The vectors of one of this rank's copies.
  [[nodiscard]] std::vector<VectorView> copy(int copy) const;

  [[nodiscard]] bool try_lock(Rank of, std::size_t index) const;
  void unlock(Rank of, std::size_t index) const noexcept;

  /// Locks a chunk of this rank. Blocks; throws TimeoutError naming who holds it.
  void lock_own(std::size_t index) const;

  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  struct Lock;
  struct Chunk {
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
  std::vector<Chunk> chunks_;
  std::size_t largest_bytes_ = 0;
  std::size_t copy_bytes_ = 0;
  std::unique_ptr<Region> region_;
};

}  // namespace gossip::transport
