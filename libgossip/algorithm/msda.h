// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// MSDA: optimal synchronous optimization of strongly convex losses, in the dual.

#include <libgossip/algorithm/algorithm.h>
#include <libgossip/topology/graph.h>

namespace gossip::algorithm {

/// The numbers of MSDA.
struct MSDAConstants {
  double gamma = 1.0;     ///< lambda_2 / lambda_max of the Laplacian
  double step = 0.0;      ///< eta
  double momentum = 0.0;  ///< of Nesterov's acceleration
  int rounds = 1;         ///< K, mixings a step
};

/// For losses that are each mu-strongly convex with L = `smoothness`, and chi = 1 / gamma =
/// lambda_max / lambda_2 of the Laplacian: \f$ c = (1 - \sqrt\gamma) / (1 + \sqrt\gamma),\ K =
/// \lfloor 1/\sqrt\gamma \rfloor,\ \eta = \mu (1 + c^{2K}) / (1 + c^K)^2 \f$, and the momentum
/// \f$ (q \sqrt\kappa - r) / (q \sqrt\kappa + r) \f$ with \f$ \kappa = L/\mu,\ q = 1 + c^K,\ r = 1
/// - c^K \f$.
///
/// Throws gossip::Error unless 0 < mu <= L and chi >= 1, all finite.
[[nodiscard]] MSDAConstants msda_constants(double mu, double smoothness, double chi);

/// The same with the chi of `graph`. Throws as well for a graph that is directed, not connected, or
/// of less than 2 ranks.
[[nodiscard]] MSDAConstants msda_constants(double mu, double smoothness,
                                           const topology::Graph& graph);

/// MSDA, multi-step dual accelerated (Scaman, Bach, Bubeck, Lee, Massoulie 2017, arXiv 1702.08704):
/// \f$ \theta_i = \nabla f_i^*(x_i),\ y^+ = x - \eta (\theta - P_K(M) \theta),\ x^+ = y^+ + b (y^+
/// - y) \f$ with the Chebyshev polynomial P_K of K mixings with M, the matrix of
/// topology::spectral_weights(). Optimal in gradients, \f$ \sqrt{L/\mu} \f$, and in rounds, \f$
/// \sqrt{\chi L / \mu} \f$.
///
/// **The model is the dual variable**, at first 0 (or of sum 0 over the workers), and the caller's
/// "gradient" is that of the conjugate loss: the x at which \f$ \nabla f_i(x) \f$ is the model.
/// That x is the solution. There is no local update: the learning rate is not used.
///
/// Extra state: four vectors. On the wire: K times one vector a step.
class MSDA final : public Algorithm {
 public:
  /// Throws gossip::Error for less than 1 round.
  explicit MSDA(const MSDAConstants& constants);
};

}  // namespace gossip::algorithm
