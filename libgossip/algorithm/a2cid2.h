// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Asynchronous decentralized SGD with a continuous momentum between the pair events.

#include <libgossip/algorithm/pair_algorithm.h>
#include <libgossip/topology/graph.h>

namespace gossip::algorithm {

/// The numbers of A2CiD2.
struct A2CiD2Constants {
  /// Rate at which x and x~ mix, in 1 / (mean time of one gradient).
  double eta = 0.0;
  /// What an event moves of the difference: in the model.
  double alpha = 0.5;
  /// The same in x~.
  double alpha_tilde = 0.5;
};

/// \f$ \eta = \frac{1}{2 \sqrt{\chi_1 \chi_2}},\ \alpha = \frac12,\ \tilde\alpha = \frac12
/// \sqrt{\chi_1 / \chi_2} \f$ for the chis of the true intensities (topology::Chi). `eta_factor`
/// multiplies eta: 1 where both halves of an event happen at once; 1/2, with the same alpha_tilde,
/// where the second half is late by up to the mean time between a worker's events, which would make
/// the full eta slower than no momentum at all.
///
/// Throws gossip::Error for a chi or factor that is not a positive number.
[[nodiscard]] A2CiD2Constants a2cid2_constants(double chi1, double chi2, double eta_factor = 1.0);

/// The same for equal intensities on the edges of `graph`, such that a worker takes part in `rate`
/// events per unit of time (on average over the workers, if degrees differ). eta grows with `rate`,
/// alpha_tilde does not. One worker has no events: eta is 0, nothing moves.
///
/// Throws gossip::Error for a graph that is directed or not connected, and for a rate or factor
/// that is not a positive number.
[[nodiscard]] A2CiD2Constants a2cid2_constants(const topology::Graph& graph, double rate = 1.0,
                                               double eta_factor = 1.0);

/// A2CiD2 (Nabli, Belilovsky, Oyallon 2023, arXiv 2306.08289), without gradients the continuized
/// Nesterov gossip of Even et al. (2021). A second vector x~ (at first equal to the model x):
///
/// - between events \f$ \dot x = \eta (\tilde x - x),\ \dot{\tilde x} = \eta (x - \tilde x) \f$;
///   for elapsed time \f$ \tau \f$ this moves \f$ \frac12 (1 - e^{-2 \eta \tau}) (\tilde x - x) \f$
///   from x~ to x;
/// - an event of i and j with \f$ m = x_i - x_j \f$ moves \f$ \alpha m \f$ from x_i to x_j and
///   \f$ \tilde\alpha m \f$ from x~_i to x~_j;
/// - a local update adds the same increment to both.
///
/// \f$ E|\pi x_t|^2 \le C e^{-\eta t} \f$: \f$ \sqrt{\chi_1 \chi_2} \f$ in place of the
/// \f$ \chi_1 \f$ of AD-PSGD. A lasting disagreement of the local gradients is damped
/// \f$ \frac12 + \tilde\alpha \f$ times better; white noise of the gradients is not. The sum of
/// x + x~ is kept whatever the delay of a half event; the sums of x and of x~ alone when both
/// halves happen at one model time.
///
/// Extra state: one model. On the wire: one model each way an event, as AD-PSGD.
class A2CiD2 final : public PairAlgorithm {
 public:
  /// Throws gossip::Error unless eta >= 0, alpha and alpha_tilde > 0, all finite.
  explicit A2CiD2(const A2CiD2Constants& constants);

  [[nodiscard]] std::string_view name() const override { return "a2cid2"; }
  [[nodiscard]] int num_vectors() const override { return 2; }
  [[nodiscard]] const A2CiD2Constants& constants() const noexcept { return constants_; }
  void flow(State state, double elapsed) const override;
  void jump(State state, const VectorView& difference, double sign) const override;

 private:
  A2CiD2Constants constants_;
};

}  // namespace gossip::algorithm
