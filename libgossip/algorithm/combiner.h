// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The arithmetic of a method's combinations on one rank.

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

#include <libgossip/algorithm/interpret.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/kernels/vector.h>

namespace gossip::algorithm {

/// Takes combinations that follow each other over the vectors together, block by block, so that
/// what one writes the next one finds in the cache. Local; allocates nothing once it has seen the
/// longest combination.
class Combiner {
 public:
  /// Where an algorithm's vectors lie: by number, one view an element type.
  using Vectors = std::vector<std::vector<VectorView>>;

  /// What factors are multiplied with.
  struct Scales {
    double rate;
    double weight;
  };

  /// `vectors` must outlive it; its views may change between calls.
  explicit Combiner(const Vectors& vectors) : vectors_(vectors) {}

  /// Carries `combinations` out. `gradient`: the pieces that the gradient lies in, which together
  /// cover it, in place of its vector; may be null.
  void combine(const Combinations& combinations, const Scales& scales,
               const std::vector<VectorPiece>* gradient);

  /// Bytes read and written in the passes over vectors so far; and of them those of passes that
  /// take each vector once for all combinations that follow each other.
  [[nodiscard]] std::uint64_t bytes_touched() const noexcept { return bytes_touched_; }
  [[nodiscard]] std::uint64_t bytes_touched_least() const noexcept { return bytes_touched_least_; }

 private:
  /// Elements of the vectors of one element type, and the piece that they have of the gradient.
  struct Range {
    std::size_t part;
    std::size_t begin;
    std::size_t end;
    const VectorPiece* gradient = nullptr;
  };

  void combine(const Combinations& combinations, const Scales& scales, Range range);
  void combine(const Combine& stage, const Scales& scales, const Range& range);
  void count_passes(const Combinations& combinations);

  const Vectors& vectors_;
  std::uint64_t bytes_touched_ = 0;
  std::uint64_t bytes_touched_least_ = 0;
  // Kept so that a step allocates nothing.
  std::tuple<std::vector<kernels::Source<float>>, std::vector<kernels::Source<double>>> sources_;
};

}  // namespace gossip::algorithm
