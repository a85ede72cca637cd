// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Gradient tracking: each rank follows the mean of all gradients.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// What is mixed when.
enum class TrackingOrder {
  kSemiATC,  ///< "semi-atc": \f$ X \leftarrow W (X - \eta Y),\ Y \leftarrow W Y + G(X) - G(X_{old})
             ///< \f$ (NEXT, SONATA, GT-SGD); one message, the default
  kDIGing,   ///< "diging": \f$ X \leftarrow W X - \eta Y \f$, Y the same (Nedic, Olshevsky, Shi
             ///< 2017); one message; diverges for matrices with eigenvalues near -1
  kATC,      ///< "atc": \f$ X \leftarrow W (X - \eta Y),\ Y \leftarrow W (Y + G(X) - G(X_{old}))
             ///< \f$ (Aug-DGM); two messages, the second after the gradient
};

/// Gradient tracking over undirected graphs, W doubly stochastic: the tracker Y starts as the first
/// gradient and \f$ \sum_i y_i = \sum_i g_i \f$ always, so that the limit is exact however the
/// ranks' data differ. The local optimizer gets y in place of the gradient. With minibatches what
/// is subtracted is the gradient of the step before, as it was then.
///
/// Extra state: one vector, two with kATC. On the wire: two vectors a step.
class GradientTracking final : public Algorithm {
 public:
  explicit GradientTracking(TrackingOrder order = TrackingOrder::kSemiATC);
};

}  // namespace gossip::algorithm
