// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Exact diffusion: the cheapest method without bias.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// Exact diffusion (Yuan et al. 2019), NIDS (Li, Shi, Yan 2019), and D2 (Tang et al. 2018) in the
/// form that stays exact in single precision:
/// \f$ \Psi^+ = X - \eta G(X),\ X \leftarrow W (\Psi^+ + X - \Psi) \f$. The limit is exact however
/// the ranks' data differ. W symmetric and constant, its smallest eigenvalue above -1/3; a lazy
/// one, (I + W) / 2, always has that.
///
/// Extra state: one vector. On the wire: the model once a step.
class ExactDiffusion final : public Algorithm {
 public:
  ExactDiffusion();
};

}  // namespace gossip::algorithm
