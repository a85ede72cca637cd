// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// CHOCO-SGD: gossip of compressed differences.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// CHOCO-SGD (Koloskova, Stich, Jaggi 2019): every rank keeps a public copy of its model, which it
/// moves by compressed differences: \f$ H = X - \eta G(X),\ \hat X \leftarrow \hat X + Q(H - \hat
/// X),\ X \leftarrow H + \gamma (W \hat X - \hat X) \f$. Overlapped: the difference is that of X,
/// so that it does not depend on the gradient. Instead of its neighbors' copies a rank keeps their
/// sum \f$ W \hat X \f$. Extra state: two vectors, three overlapped; on the wire: one compressed
/// vector a step.
class ChocoSGD final : public Algorithm {
 public:
  /// Throws gossip::Error unless 0 < consensus_rate <= 1.
  explicit ChocoSGD(double consensus_rate, bool overlapped = false);
};

}  // namespace gossip::algorithm
