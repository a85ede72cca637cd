// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// DecentLaM: momentum without a larger bias.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// DecentLaM (Yuan et al. 2021): \f$ M \leftarrow \beta M + (X - W (X - \eta G)) / \eta,\ X
/// \leftarrow X - \eta M \f$: the bias is that of D-PSGD without momentum. The last step is the
/// local optimizer's, which is to have no momentum of its own. Extra state: one vector; on the
/// wire: one vector a step.
class DecentLaM final : public Algorithm {
 public:
  /// Throws gossip::Error unless 0 <= momentum < 1.
  explicit DecentLaM(double momentum);
};

}  // namespace gossip::algorithm
