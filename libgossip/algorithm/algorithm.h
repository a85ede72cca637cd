// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What a decentralized optimization method is: the stages of one step of one worker.

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace gossip::algorithm {

/// Vectors have numbers. The first two belong to the caller: the model and the gradient at the
/// model. The method's own follow; they are zero at first. Then come those that a step makes to be
/// sent and that nothing is kept of: they are written straight into the message.
inline constexpr int kModel = 0;
inline constexpr int kGradient = 1;
inline constexpr int kFirstState = 2;
inline constexpr int kNoVector = -1;

/// One thing that is done to vectors.
enum class Action {
  kEvaluate,     ///< the caller evaluates the gradient at the model
  kLocalUpdate,  ///< the caller's local optimizer changes the model by the gradient, or by the
                 ///< vector of its only term in the gradient's place
  kCombine,      ///< \f$ v \leftarrow \sum_t \text{factor}_t v_t \f$, which may contain v itself
  kCompress,     ///< \f$ v \leftarrow Q(v) \f$: what is left of it when it is sent compressed
  kMix,   ///< one message to each neighbor, one round of the topology: \f$ v_i \leftarrow \sum_j
          ///< R_{ij} v_j \f$ for `vectors`, \f$ v_i \leftarrow \sum_j C_{ij} v_j \f$ for `pushed`
          ///< and, where the model is among them, for the push-sum weight; `sent` in the same
          ///< message: \f$ v_i \leftarrow v_i + \sum_j W_{ij} s_j - s_i \f$ for `corrected`
  kMean,  ///< \f$ v_i \leftarrow \frac1n \sum_j v_j \f$, exactly
};

/// What a factor is multiplied with.
enum class Scale {
  kOne,
  kRate,       ///< the learning rate, its mean over the local steps since the last communication
  kPerRate,    ///< 1 / that
  kWeight,     ///< the push-sum weight
  kPerWeight,  ///< 1 / push-sum weight
};

/// A part of a linear combination.
struct Term {
  int vector;
  double factor;
  Scale scale = Scale::kOne;
};

/// Fragment `index` of `count` about equal ones of each vector.
struct Fragment {
  int index = 0;
  int count = 1;

  friend bool operator==(const Fragment&, const Fragment&) = default;
};

struct Stage {
  Action action;
  std::vector<int> vectors;      ///< what it changes; one but for kMix and kMean
  std::vector<Term> terms = {};  ///< of kCombine
  std::vector<int> pushed = {};  ///< of kMix
  bool is_compressed = false;    ///< of kMix: `vectors` went through kCompress
  Fragment fragment = {};        ///< of kCombine and kMean
  int sent = kNoVector;          ///< of kMix: a vector of Rules::sent
  int corrected = kNoVector;     ///< of kMix: of the method's own
  bool is_sent_pushed = false;   ///< of kMix: W is C for `sent`, else R
};

/// What a method demands of the mixing matrices.
enum class MixingNeeds {
  kNone,              ///< it does not use them
  kDoublyStochastic,  ///< all rows and all columns sum to 1, so that mixing keeps the mean
  kSymmetric,         ///< in addition the same symmetric matrix in all rounds
  kDirected,          ///< two matrices a round: the rows of R sum to 1, and the columns of C; see
                      ///< topology::with_row_weights() and with_column_weights()
};

/// A method as data: each kind of step is a list of stages with at most one kEvaluate. It never
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

  /// Whether stages other than kMean read or change the gradient.
  [[nodiscard]] bool combines_gradient() const;

  /// Whether stages other than kMean change the gradient, which then needs memory of the model's
  /// layout.
  [[nodiscard]] bool changes_gradient() const;

  /// Whether kMean of the gradient is among its stages.
  [[nodiscard]] bool averages_gradient() const;

  /// Whether factors depend on the learning rate.
  [[nodiscard]] bool uses_learning_rate() const;

  /// All kinds of steps that there are.
  [[nodiscard]] std::span<const std::vector<Stage>> kinds() const noexcept { return rules_.kinds; }

  /// The stages of step `step` (from 0). Valid as long as the algorithm.
  [[nodiscard]] std::span<const Stage> stages(std::int64_t step) const {
    return rules_.kinds[kind_of(step)];
  }

 protected:
  struct Rules {
    std::string_view name;  ///< as in the factory
    MixingNeeds mixing_needs = MixingNeeds::kDoublyStochastic;
    std::vector<std::string_view> state = {};
    int num_sent = 0;  ///< vectors that live in messages, with the numbers behind the state's
    std::vector<std::vector<Stage>> kinds = {};
    double eigenvalue_bound = -1.0;
  };

  explicit Algorithm(Rules rules) : rules_(std::move(rules)) {}

 private:
  /// Which of kinds() step `step` is; by default all but the last come once, in their order.
  [[nodiscard]] virtual std::size_t kind_of(std::int64_t step) const;

  Rules rules_;
};

/// Stages in few words.
[[nodiscard]] Stage evaluate();
[[nodiscard]] Stage local_update(int along = kGradient);
[[nodiscard]] Stage combine(int vector, std::vector<Term> terms, Fragment fragment = {});
[[nodiscard]] Stage compress(int vector);
[[nodiscard]] Stage mix(std::vector<int> pulled);
[[nodiscard]] Stage mix_compressed(int vector);
[[nodiscard]] Stage push(std::vector<int> pulled, std::vector<int> pushed);
[[nodiscard]] Stage with_sent(Stage mix, int sent, int corrected, bool is_pushed = false);
[[nodiscard]] Stage mean(int vector, Fragment fragment = {});

/// Throws gossip::Error unless `steps`, the local steps between two communications, is at least 1.
void check_local_steps(std::int64_t steps);

/// Throws gossip::Error, with `what` in front, unless lower <= value < upper.
void check_range(std::string_view what, double value, double lower, double upper);

}  // namespace gossip::algorithm
