// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// ADOM+: accelerated, synchronous, primal optimization of strongly convex losses.

#include <libgossip/algorithm/algorithm.h>
#include <libgossip/topology/graph.h>

namespace gossip::algorithm {

/// The numbers of ADOM+, as its paper names them.
struct ADOMPlusConstants {
  double tau1 = 0.0;
  double tau2 = 0.0;
  double sigma1 = 0.0;
  double sigma2 = 0.0;
  double eta = 0.0;
  double alpha = 0.0;
  double beta = 0.0;
  double gamma = 0.0;
  double delta = 0.0;
  double theta = 0.0;
  double zeta = 0.0;
  double nu = 0.0;
  int rounds = 1;  ///< mixings a step
};

/// How often a step of ADOM+ mixes.
enum class Consensus {
  kSingle,  ///< once
  kMulti,   ///< \f$ \lceil \chi \ln 2 \rceil \f$ times, after which chi counts as 2
};

/// For losses that are each mu-strongly convex with L = `smoothness`, and chi = lambda_max /
/// lambda_2 of the Laplacian: \f$ \nu = \alpha = \mu/2,\ \tau_2 = \sqrt{\mu/L},\ \tau_1 =
/// (1/\tau_2 + \frac12)^{-1},\ \sigma_2 = \tau_2 / (16 \chi),\ \sigma_1 = (1/\sigma_2 +
/// \frac12)^{-1},\ \eta = 1/(L \tau_2),\ \beta = 1/(2L),\ \delta = 1/(17L),\ \gamma = \nu / (14
/// \sigma_2 \chi^2),\ \theta = \nu / (4 \sigma_2),\ \zeta = \frac12 \f$.
///
/// Throws gossip::Error unless 0 < mu <= L and chi >= 1, all finite.
[[nodiscard]] ADOMPlusConstants adom_plus_constants(double mu, double smoothness, double chi,
                                                    Consensus consensus = Consensus::kSingle);

/// The same with the chi of `graph`. Throws as well for a graph that is directed, not connected, or
/// of less than 2 ranks.
[[nodiscard]] ADOMPlusConstants adom_plus_constants(double mu, double smoothness,
                                                    const topology::Graph& graph,
                                                    Consensus consensus = Consensus::kSingle);

/// ADOM+ (Kovalev, Shulgin, Richtarik, Rogozin, Gasnikov 2021, arXiv 2102.09234), for the mixing
/// matrix I - W of topology::spectral_weights(). With \f$ s = y_g + z_g \f$, a step is
///
/// - \f$ x_g = \tau_1 x + (1 - \tau_1) x_f \f$, in the same way \f$ y_g, z_g \f$ with \f$ \sigma_1
///   \f$, and the gradient g at \f$ x_g \f$;
/// - \f$ x^+ = x + \eta \alpha (x_g - x^+) - \eta (g - \nu x_g - y^+) \f$ and \f$ y^+ = y + \theta
///   \beta (g - \nu x_g - y^+) - \theta (s/\nu + x^+) \f$, two linear equations that the stages
///   hold solved;
/// - \f$ v = \frac{\gamma}{\nu} s + m,\ z^+ = z + \gamma \delta (z_g - z) - W v,\ m^+ = v - W v
///   \f$;
/// - \f$ x_f = x_g + \tau_2 (x^+ - x),\ y_f = y_g + \sigma_2 (y^+ - y),\ z_f = z_g - \zeta W s \f$.
///
/// Gradients grow with \f$ \chi \sqrt{L/\mu} \f$, or with multi-consensus \f$ \sqrt{L/\mu} \f$.
/// Between steps the model is x; the gradient is taken at the model that it is in between. There is
/// no local update: the learning rate is not used.
///
/// Extra state: eight vectors. On the wire: two vectors a mixing.
class ADOMPlus final : public Algorithm {
 public:
  /// Throws gossip::Error for less than 1 round.
  explicit ADOMPlus(const ADOMPlusConstants& constants);
};

}  // namespace gossip::algorithm
