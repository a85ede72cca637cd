// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The baseline: every step uses the mean of all gradients.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// \f$ x \leftarrow x - \eta \frac1n \sum_i g_i(x) \f$: all ranks keep the same model. Extra state:
/// one gradient buffer; on the wire: one all-reduce of the gradient a step.
class AllReduce final : public Algorithm {
 public:
  AllReduce();
};

}  // namespace gossip::algorithm
