// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What a decentralized optimization method is: the stages of one step of one worker.

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <libgossip/algorithm/stage.h>

namespace gossip::algorithm {

/// What a method demands of the mixing matrices.
enum class MixingNeeds {
  kNone,              ///< it does not use them
  kDoublyStochastic,  ///< all rows and all columns sum to 1, so that mixing keeps the mean
  kSymmetric,         ///< in addition the same symmetric matrix in all rounds
  kDirected,          ///< two matrices a round: the rows of R sum to 1, and the columns of C; see
                      ///< topology::with_row_weights() and with_column_weights()
};

/// A method as data: each kind of step is a list of stages with at most one Evaluate. It never
/// communicates, so that one implementation is driven by MPI processes, by threads and in virtual
/// time. Immutable.
class Algorithm {
 public:
  Algorithm(const Algorithm&) = delete;
  Algorithm& operator=(const Algorithm&) = delete;
  virtual ~Algorithm() = default;

  [[nodiscard]] std::string_view name() const noexcept { return rules_.name; }
  [[nodiscard]] MixingNeeds mixing_needs() const noexcept { return rules_.mixing_needs; }

  /// With kSymmetric: all eigenvalues of the matrix must be greater.
  [[nodiscard]] double eigenvalue_bound() const noexcept { return rules_.eigenvalue_bound; }

  /// Names of the method's own vectors, from kFirstState on.
  [[nodiscard]] const std::vector<std::string_view>& state() const noexcept { return rules_.state; }

  /// How many vectors there are that live in messages.
  [[nodiscard]] int num_sent() const noexcept { return rules_.num_sent; }

  /// Whether stages other than Mean read or change the gradient.
  [[nodiscard]] bool combines_gradient() const;

  /// Whether stages other than Mean change the gradient, which then needs memory of the model's
  /// layout.
  [[nodiscard]] bool changes_gradient() const;

  /// Whether the mean of the gradient is among its stages.
  [[nodiscard]] bool averages_gradient() const;

  /// Whether factors depend on the learning rate.
  [[nodiscard]] bool uses_learning_rate() const;

  /// Whether anything goes by the column stochastic matrix.
  [[nodiscard]] bool pushes() const;

  /// Whether a step that does not communicate uses up its round of the topology.
  [[nodiscard]] bool skips_rounds() const noexcept { return rules_.skips_rounds; }

  /// Whether a step without a gradient gives nothing in its round: a rank may decide by itself not
  /// to be active.
  [[nodiscard]] bool gives_with_gradient_only() const noexcept {
    return rules_.gives_with_gradient_only;
  }

  /// Whether it bears that a round leaves out some neighbors' values, so that rows of the matrix
  /// sum to 1 and columns do not.
  [[nodiscard]] bool bears_late_values() const noexcept { return rules_.bears_late_values; }

  /// All kinds of steps that there are.
  [[nodiscard]] std::span<const std::vector<Stage>> kinds() const noexcept { return rules_.kinds; }

  /// The stages of step `step` (from 0). A rank that does not compute takes those of a step without
  /// a gradient, the last kind of methods that have one. Valid as long as the algorithm.
  [[nodiscard]] Stages stages(std::int64_t step, bool computes = true) const {
    return computes ? rules_.kinds[kind_of(step)] : rules_.kinds.back();
  }

 protected:
  struct Rules {
    std::string_view name;  ///< as in the factory
    MixingNeeds mixing_needs = MixingNeeds::kDoublyStochastic;
    std::vector<std::string_view> state = {};
    int num_sent = 0;  ///< vectors that live in messages, with the numbers behind the state's
    std::vector<std::vector<Stage>> kinds = {};
    double eigenvalue_bound = -1.0;
    /// Rounds go with the steps: where a step does not communicate, its round is skipped, as
    /// matrices need that say by the step who takes part. Otherwise it is left to a later step.
    bool skips_rounds = false;
    /// A step without a gradient gives nothing in its round. What others give it takes.
    bool gives_with_gradient_only = false;
    /// Rounds may go without a neighbor's value: no sum over the ranks has to be kept.
    bool bears_late_values = false;
  };

  explicit Algorithm(Rules rules) : rules_(std::move(rules)) {}

 private:
  /// Which of kinds() step `step` is; by default all but the last come once, in their order.
  [[nodiscard]] virtual std::size_t kind_of(std::int64_t step) const;

  Rules rules_;
};

/// Throws gossip::Error unless `steps`, the local steps between two communications, is at least 1.
void check_local_steps(std::int64_t steps);

/// Throws gossip::Error, with `what` in front, unless lower <= value < upper.
void check_range(std::string_view what, double value, double lower, double upper);

}  // namespace gossip::algorithm
