// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Momentum tracking.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// Momentum tracking (Takezawa et al. 2023): \f$ U \leftarrow \beta U + G,\ X \leftarrow W X - \eta
/// (U - C),\ C \leftarrow W (C - U) + U \f$: the limit is exact however the ranks' data differ; sum
/// c = 0. The local optimizer is to have no momentum of its own. Extra state: two vectors; on the
/// wire: two vectors a step.
class MomentumTracking final : public Algorithm {
 public:
  /// Throws gossip::Error unless 0 <= momentum < 1.
  explicit MomentumTracking(double momentum);
};

}  // namespace gossip::algorithm
