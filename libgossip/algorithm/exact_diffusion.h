// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Exact diffusion: the cheapest method without bias.

#include <vector>

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// Exact diffusion (Yuan et al. 2019), NIDS (Li, Shi, Yan 2019), and D2 (Tang et al. 2018) in the
/// form that stays exact in single precision:
/// \f$ \Psi^+ = X - \eta G(X),\ X \leftarrow W (\Psi^+ + X - \Psi) \f$. The limit is exact however
/// the ranks' data differ. W symmetric and constant, its smallest eigenvalue above -1/3; a lazy one,
/// (I + W) / 2, always has that.
///
/// Extra state: one vector. On the wire: the model once a step.
class ExactDiffusion final : public Algorithm {
 public:
  ExactDiffusion();

  [[nodiscard]] std::string_view name() const override { return "exact-diffusion"; }
  [[nodiscard]] MixingNeeds mixing_needs() const override { return MixingNeeds::kSymmetric; }
  [[nodiscard]] std::span<const std::string_view> state() const override;
  [[nodiscard]] std::span<const Stage> stages(std::int64_t step) const override;

 private:
  std::vector<Stage> first_;
  std::vector<Stage> later_;
};

}  // namespace gossip::algorithm
