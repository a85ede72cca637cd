// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// K-GT: gradient tracking with local steps.

#include <libgossip/algorithm/round_algorithm.h>

namespace gossip::algorithm {

/// K-GT (Liu et al. 2023): K local steps along \f$ G + C \f$ from X to Q; \f$ Z = (X - Q) / (K
/// \eta),\ C \leftarrow C - Z + W Z,\ X \leftarrow W (X - K \eta \eta_s Z) \f$. The limit is exact
/// however the ranks' data differ; sum c = 0. Extra state: two vectors; on the wire: two vectors
/// every K steps.
class KGT final : public RoundAlgorithm {
 public:
  /// Throws gossip::Error unless 0 < global_rate.
  explicit KGT(std::int64_t local_steps, double global_rate = 1.0);
};

}  // namespace gossip::algorithm
