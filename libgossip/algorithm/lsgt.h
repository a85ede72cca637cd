// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// LSGT: local steps along a tracker.

#include <libgossip/algorithm/round_algorithm.h>

namespace gossip::algorithm {

/// LSGT, periodical gradient tracking (Ge and Chang 2023): K local steps along \f$ G(Q) - G(X) + Y
/// \f$ from X to Q; \f$ X^+ = W Q,\ Y \leftarrow W Y + G(X^+) - G(X) \f$. The limit is exact
/// however the ranks' data differ; sum y = sum g. Extra state: two vectors; on the wire: two
/// vectors every K steps.
class LSGT final : public RoundAlgorithm {
 public:
  explicit LSGT(std::int64_t local_steps);
};

}  // namespace gossip::algorithm
