// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What a decentralized optimization method is: the stages of one step of one worker.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace gossip::algorithm {

/// Vectors have numbers. The first two belong to the caller: the model and the gradient at the
/// model. The method's own follow; they are zero at first.
inline constexpr int kModel = 0;
inline constexpr int kGradient = 1;
inline constexpr int kFirstState = 2;

/// One thing that is done to vectors.
enum class Action {
  kEvaluate,     ///< the caller evaluates the gradient at the model
  kLocalUpdate,  ///< the caller's local optimizer changes the model by the gradient
  kCombine,      ///< \f$ v \leftarrow \sum_t \text{factor}_t v_t \f$, which may contain v itself
  kPull,  ///< \f$ v_i \leftarrow \sum_j W_{ij} v_j \f$ with the round's matrix, for all its vectors
          ///< in one message; takes one round of the schedule
  kMean,  ///< \f$ v_i \leftarrow \frac1n \sum_j v_j \f$, exactly
};

/// A part of a linear combination.
struct Term {
  int vector;
  double factor;
};

struct Stage {
  Action action;
  std::vector<int> vectors;      ///< what it changes; one but for kPull
  std::vector<Term> terms = {};  ///< of kCombine
};

/// What a method demands of the mixing matrices.
enum class MixingNeeds {
  kNone,              ///< it does not use them
  kDoublyStochastic,  ///< all rows and all columns sum to 1, so that mixing keeps the mean
  kSymmetric,         ///< in addition the same symmetric matrix in all rounds, eigenvalues > -1/3
};

/// A method as data: each step is a list of stages with exactly one kEvaluate. It never
/// communicates, so that one implementation is driven by MPI processes, by threads and in virtual
/// time. Immutable.
class Algorithm {
 public:
  Algorithm() = default;
  Algorithm(const Algorithm&) = delete;
  Algorithm& operator=(const Algorithm&) = delete;
  virtual ~Algorithm() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual MixingNeeds mixing_needs() const = 0;

  /// Names of the method's own vectors, from kFirstState on.
  [[nodiscard]] virtual std::span<const std::string_view> state() const { return {}; }

  /// Whether kCombine reads or changes the gradient, which then needs memory of the model's layout.
  [[nodiscard]] virtual bool combines_gradient() const { return false; }

  /// Whether kMean of the gradient is among its stages.
  [[nodiscard]] virtual bool averages_gradient() const { return false; }

  /// The stages of step `step` (from 0). Valid as long as the algorithm.
  [[nodiscard]] virtual std::span<const Stage> stages(std::int64_t step) const = 0;
};

}  // namespace gossip::algorithm
