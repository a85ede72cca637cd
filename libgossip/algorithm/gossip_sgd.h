// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Decentralized SGD: mixing with neighbors in place of all-reduce.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// Where the mixing stands in a step.
enum class MixingOrder {
  kAdaptThenCombine,  ///< "atc": \f$ X \leftarrow W (X - \eta G(X)) \f$; smallest bias, the default
  kCombineThenAdapt,  ///< "cta": \f$ X \leftarrow W X - \eta G(X) \f$; the gradient is taken at the
                      ///< own model
  kDiffusion,  ///< "diffusion": \f$ P = W X,\ X \leftarrow P - \eta G(P) \f$; the gradient is taken
               ///< at the mixed model
};

/// D-PSGD (Lian et al. 2017) and diffusion (Chen and Sayed 2012): W symmetric or at least doubly
/// stochastic. With `local_steps` H > 1 only every H-th step mixes (local decentralized SGD,
/// Koloskova et al. 2020). The update \f$ -\eta G \f$ stands for whatever the local optimizer does.
/// Extra state: none; on the wire: the model, once per mixing.
class GossipSGD final : public Algorithm {
 public:
  /// Throws gossip::Error unless `local_steps` >= 1.
  explicit GossipSGD(MixingOrder order = MixingOrder::kAdaptThenCombine,
                     std::int64_t local_steps = 1);

 private:
  [[nodiscard]] std::size_t kind_of(std::int64_t step) const override;

  MixingOrder order_;
  std::int64_t local_steps_;
};

}  // namespace gossip::algorithm
