// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// SlowMo: a slow momentum over local SGD.

#include <libgossip/algorithm/round_algorithm.h>

namespace gossip::algorithm {

/// SlowMo (Wang et al. 2020), with alpha = 1 block momentum (BMUF): after H steps from x to y_i
/// \f$ u \leftarrow \beta u + (x - \bar y) / \eta,\ x \leftarrow x - \alpha \eta u \f$. Extra
/// state: two vectors; on the wire: one all-reduce every H steps. The bias is that of local SGD.
class SlowMo final : public RoundAlgorithm {
 public:
  /// Throws gossip::Error unless 0 < alpha, 0 <= beta < 1, 1 <= local_steps.
  SlowMo(std::int64_t local_steps, double alpha, double beta);
};

}  // namespace gossip::algorithm
