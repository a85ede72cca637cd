// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Push-DIGing: push-sum with a tracker.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// Push-DIGing (Nedic, Olshevsky, Shi 2017): \f$ U \leftarrow C (U - \eta Y),\ w \leftarrow C w,\ X
/// = U / w,\ Y \leftarrow C Y + G(X) - G(X_{old}) \f$ with C column stochastic: the limit is exact;
/// sum y = sum g, sum w = n. The model is X. The local update acts on U = w X, and so does its
/// weight decay: as trackers grow with w, the limit is that of the loss with \f$
/// \frac{\lambda}{2} |x|^2 \f$; a decay of X would leave the ranks apart. Extra state: one vector;
/// on the wire: two vectors and a number a step.
class PushDIGing final : public Algorithm {
 public:
  PushDIGing();
};

}  // namespace gossip::algorithm
