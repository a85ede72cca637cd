// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// SCAFFOLD: local steps without client drift.

#include <libgossip/algorithm/round_algorithm.h>

namespace gossip::algorithm {

/// SCAFFOLD (Karimireddy et al. 2020, option II) with all ranks in every round: local steps along
/// \f$ g_i - c_i + c \f$; exact for data that differ. Kept are c_i - c and c, so that one
/// all-reduce of the model every H steps is enough. Extra state: two vectors.
class Scaffold final : public RoundAlgorithm {
 public:
  /// Throws gossip::Error unless 0 < global_rate.
  explicit Scaffold(std::int64_t local_steps, double global_rate = 1.0);
};

}  // namespace gossip::algorithm
