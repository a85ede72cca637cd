// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Push-sum in rounds: stochastic gradient push.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// SGP (Assran et al. 2019, arXiv 1811.10792): \f$ U \leftarrow C (U - \eta G(Z)),\ w \leftarrow C
/// w,\ Z = U / w \f$ with C column stochastic: the sums over the workers of u and w are kept. The
/// model is Z, also while a round goes on, so that one that fails leaves it whole. Extra state: one
/// vector, U, which the local update, of the model, is added to; the sum goes straight into the
/// message. On the wire: one vector and a number a step. PushSum is the same rule for messages that
/// come at any time.
class PushSumSGD final : public Algorithm {
 public:
  PushSumSGD();
};

}  // namespace gossip::algorithm
