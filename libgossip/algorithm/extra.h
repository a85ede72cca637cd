// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// EXTRA.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// EXTRA (Shi et al. 2015) in its primal-dual form, which is exact in single precision, too: \f$
/// X^+ = W X - \eta G(X) - Y,\ Y \leftarrow Y + (X - W X) / 2 \f$. The limit is exact however the
/// ranks' data differ; sum y = 0. W symmetric and constant, eigenvalues above -1. Extra state: two
/// vectors; on the wire: the model once a step, which does not wait for the gradient.
class EXTRA final : public Algorithm {
 public:
  EXTRA();
};

}  // namespace gossip::algorithm
