// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Quasi-global momentum.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// QG-DSGDm (Lin et al. 2021): momentum that follows how the mixed model moves, and so the global
/// direction: \f$ X^+ = W (X - \eta (\mu M + G)),\ M \leftarrow \mu M + (1 - \mu)(X - X^+) / \eta
/// \f$. The local optimizer is to have no momentum of its own. Extra state: one vector; on the
/// wire: the model once a step.
class QGDSGDm final : public Algorithm {
 public:
  /// Throws gossip::Error unless 0 <= momentum < 1.
  explicit QGDSGDm(double momentum);
};

}  // namespace gossip::algorithm
