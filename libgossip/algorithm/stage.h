// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The stages that a step of a method consists of.

#include <optional>
#include <span>
#include <variant>
#include <vector>

namespace gossip::algorithm {

/// Vectors have numbers. The first two belong to the caller: the model and the gradient at the
/// model. The method's own follow; they are zero at first. Then come those that a step makes to be
/// sent and that nothing is kept of: they are written straight into the message.
inline constexpr int kModel = 0;
inline constexpr int kGradient = 1;
inline constexpr int kFirstState = 2;

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

  friend bool operator==(const Term&, const Term&) = default;
};

/// Fragment `index` of `count` about equal ones of each vector.
struct Fragment {
  int index = 0;
  int count = 1;

  friend bool operator==(const Fragment&, const Fragment&) = default;
};

/// The caller evaluates the gradient at the model.
struct Evaluate {
  friend bool operator==(const Evaluate&, const Evaluate&) = default;
};

/// The caller's local optimizer changes the model by the gradient, or by `along` in its place.
struct LocalUpdate {
  int along = kGradient;

  friend bool operator==(const LocalUpdate&, const LocalUpdate&) = default;
};

/// \f$ v \leftarrow \sum_t \text{factor}_t v_t \f$, which may contain v itself; only of a fragment,
/// if there are several.
struct Combine {
  int vector;
  std::vector<Term> terms;
  Fragment fragment = {};

  friend bool operator==(const Combine&, const Combine&) = default;
};

/// \f$ v \leftarrow Q(v) \f$: what is left of a vector when it is sent compressed.
struct Compress {
  int vector;

  friend bool operator==(const Compress&, const Compress&) = default;
};

/// A vector that is only sent, and what it corrects: \f$ v_i \leftarrow v_i + \sum_j W_{ij} s_j -
/// s_i \f$; or, of what is pushed, replaces: \f$ v_i \leftarrow \sum_j W_{ij} s_j \f$. That one is
/// itself what is sent in a step that sends nothing.
struct Correction {
  int sent;                ///< s: one of the vectors that live in messages
  int vector;              ///< v: one of the method's own
  bool is_pushed = false;  ///< W is C, else R
  bool replaces = false;

  friend bool operator==(const Correction&, const Correction&) = default;
};

/// One message to each neighbor, one round of the topology: \f$ v_i \leftarrow \sum_j R_{ij} v_j
/// \f$ for `pulled`, \f$ v_i \leftarrow \sum_j C_{ij} v_j \f$ for `pushed`. Mixings that are equal
/// share a channel.
struct Mix {
  std::vector<int> pulled = {};
  std::vector<int> pushed = {};
  std::optional<Correction> correction = {};
  bool carries_weight = false;  ///< the push-sum weight is pushed as well
  bool is_compressed = false;   ///< what is pulled, all there is, went through Compress

  friend bool operator==(const Mix&, const Mix&) = default;
};

/// \f$ v_i \leftarrow \frac1n \sum_j v_j \f$, exactly; only of a fragment, if there are several.
struct Mean {
  int vector;
  Fragment fragment = {};

  friend bool operator==(const Mean&, const Mean&) = default;
};

/// One thing that is done to vectors.
using Stage = std::variant<Evaluate, LocalUpdate, Combine, Compress, Mix, Mean>;

/// Stages that follow each other. They live as long as the algorithm that has them.
using Stages = std::span<const Stage>;

/// Stages in few words.
[[nodiscard]] Evaluate evaluate();
[[nodiscard]] LocalUpdate local_update(int along = kGradient);
[[nodiscard]] Combine combine(int vector, std::vector<Term> terms, Fragment fragment = {});
[[nodiscard]] Compress compress(int vector);
[[nodiscard]] Mix mix(std::vector<int> pulled);
[[nodiscard]] Mix mix_compressed(int vector);
[[nodiscard]] Mix push(std::vector<int> pulled, std::vector<int> pushed);
[[nodiscard]] Mix with_weight(Mix mix);
[[nodiscard]] Mix with_sent(Mix mix, int sent, int corrected, bool is_pushed = false);
[[nodiscard]] Mix push_sent(int sent, int replaced);
[[nodiscard]] Mean mean(int vector, Fragment fragment = {});

}  // namespace gossip::algorithm
