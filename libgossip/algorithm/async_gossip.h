// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Averaging with whatever models of the neighbors are at hand.

#include <cstdint>

namespace gossip::algorithm {

/// Asynchronous gossip with the newest model that each neighbor has published: \f$ x_i \leftarrow
/// x_i + \sum_j w_{ij} (1 + s_j)^{-a} (x_j - x_i) \f$, where the staleness \f$ s_j \f$ counts own
/// steps since this model of j was first seen: the polynomial damping of Xie, Koyejo and Gupta 2019
/// (arXiv 1903.03934). What an old model loses in weight the own model keeps.
///
/// Nobody waits and nobody is paired, but the mean over the workers is not conserved: i takes from
/// what j had without j giving it away. Fit for runs whose gradients pull the mean back.
class AsyncGossip {
 public:
  static constexpr double kExponent = 0.5;

  /// `exponent` is a above: 0 trusts old models as new ones. Throws gossip::Error unless it is a
  /// number of at least 0.
  explicit AsyncGossip(double exponent = kExponent);

  /// The weight of a neighbor's model in place of the mixing weight. `staleness` >= 0, in own
  /// steps.
  [[nodiscard]] double weight(double mixing_weight, std::int64_t staleness) const;

  [[nodiscard]] double exponent() const noexcept { return exponent_; }

 private:
  double exponent_;
};

}  // namespace gossip::algorithm
