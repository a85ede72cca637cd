// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The arithmetic of a method's combinations on one rank.

#include <cstddef>
#include <tuple>
#include <vector>

#include <libgossip/algorithm/interpret.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/engine/counters.h>
#include <libgossip/kernels/vector.h>

namespace gossip::engine {

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
  void combine(const algorithm::Combinations& combinations, const Scales& scales,
               const std::vector<VectorPiece>* gradient);

  /// The passes over memory so far.
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  /// Elements of the vectors of one element type, and the piece that they have of the gradient.
  struct Range {
    std::size_t part;
    std::size_t begin;
    std::size_t end;
    const VectorPiece* gradient = nullptr;
  };

  void combine(const algorithm::Combinations& combinations, const Scales& scales, Range range);
  void combine(const algorithm::Combine& stage, const Scales& scales, const Range& range);
  void count_passes(const algorithm::Combinations& combinations);

  const Vectors& vectors_;
  Counters counters_;
  // Kept so that a step allocates nothing.
  std::tuple<std::vector<kernels::Source<float>>, std::vector<kernels::Source<double>>> sources_;
};

}  // namespace gossip::engine
