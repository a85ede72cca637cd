// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// LED: local steps without bias.

#include <libgossip/algorithm/round_algorithm.h>

namespace gossip::algorithm {

/// LED, local exact diffusion (Alghunaim 2024): H local steps \f$ X \leftarrow X - \eta G(X) -
/// \beta Y \f$ to \f$ \Phi \f$, then \f$ X = W \Phi,\ Y \leftarrow Y + \Phi - X \f$. The limit is
/// exact however the ranks' data differ; sum y = 0. W symmetric and constant, a lazy one is
/// advised. Extra state: one vector; on the wire: the model once every H steps.
class LED final : public RoundAlgorithm {
 public:
  /// `beta`: 1 / local_steps is the usual choice. Throws gossip::Error unless 0 < beta <= 1.
  LED(std::int64_t local_steps, double beta);
  explicit LED(std::int64_t local_steps);
};

}  // namespace gossip::algorithm
