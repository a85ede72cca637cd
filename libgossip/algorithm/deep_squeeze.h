// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// DeepSqueeze: compressed gossip with error feedback.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// DeepSqueeze (Tang et al. 2019): \f$ H = X - \eta G(X),\ V = H + \Delta,\ M = Q(V),\ \Delta
/// \leftarrow V - M,\ X \leftarrow H + \gamma (W M - M) \f$. Extra state: one vector; on the wire:
/// one compressed vector a step.
class DeepSqueeze final : public Algorithm {
 public:
  /// Throws gossip::Error unless 0 < consensus_rate <= 1.
  explicit DeepSqueeze(double consensus_rate);
};

}  // namespace gossip::algorithm
