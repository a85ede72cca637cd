// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Decoupled accelerated asynchronous optimization of strongly convex problems.

#include <cstdint>

#include <libgossip/algorithm/pair_algorithm.h>
#include <libgossip/kernels/dadao.h>
#include <libgossip/topology/graph.h>
#include <libgossip/topology/spectral.h>

namespace gossip::algorithm {

/// The numbers of DADAO. The unit of time is the mean time of one gradient of a worker.
struct DADAOConstants {
  double mu = 0.0;           ///< every f_i is mu-strongly convex
  double lipschitz = 0.0;    ///< and its gradient has this Lipschitz constant L
  double chi1 = 0.0;         ///< of the graph at one event per unit of time in all
  double chi2 = 0.0;         ///< (topology::chi_edge_probability)
  double rate = 0.0;         ///< pair events per unit of time in all
  double nu = 0.0;           ///< mu / 2
  double s = 0.0;            ///< sqrt(nu / L)
  double eta = 0.0;          ///< s / 8: x and x~ mix
  double alpha = 0.0;        ///< s / 4: y goes to y~, z to z~
  double alpha_tilde = 0.0;  ///< s / 8: z~ goes to z
  double theta = 0.0;        ///< 1 / (2 s): drift of y~
  double gamma = 0.0;        ///< 1 / (4 L): gradient event, on x
  double gamma_tilde = 0.0;  ///< 1 / (4 L s): on x~
  double delta = 0.0;        ///< 1 + s / 4: on y~
  double beta = 0.0;         ///< 1 / 2: pair event, on z
  double beta_tilde = 0.0;   ///< 2 chi1 / (rate s): on z~
};

/// \f$ \sqrt{2 \chi_1 \chi_2} \f$: pair events per unit of time in all below which DADAO diverges,
/// for the chis of topology::chi_edge_probability().
[[nodiscard]] double dadao_least_rate(const topology::Chi& chi);

/// The constants for `rate` pair events per unit of time in all, whatever the rate: below
/// dadao_least_rate() the method diverges.
///
/// Throws gossip::Error unless 0 < mu <= L and the rate and both chis are positive numbers.
[[nodiscard]] DADAOConstants dadao_constants(double mu, double lipschitz, const topology::Chi& chi,
                                             double rate);

/// The constants for equal intensities on the edges of `graph` at `safety` times the least rate. 2
/// bears halves of events that are late by up to the mean time between a worker's events; 1 those
/// that happen at once. More does not converge faster. One worker has no events.
///
/// Throws gossip::Error also for a safety factor below 1 and for a graph that is directed or not
/// connected.
[[nodiscard]] DADAOConstants dadao_constants(double mu, double lipschitz,
                                             const topology::Graph& graph, double safety = 2.0);

/// DADAO (Nabli and Oyallon 2023, arXiv 2208.00779) for \f$ \min \sum_i f_i(x) \f$, every f_i
/// mu-strongly convex and L-smooth. Vectors x (the model), x~, y, y~, z, z~:
///
/// - between events \f$ \dot x = \eta (\tilde x - x),\ \dot{\tilde x} = \eta (x - \tilde x),\ \dot
///   y = \alpha (\tilde y - y),\ \dot{\tilde y} = -\theta (y + z + \nu \tilde x),\ \dot z = \alpha
///   (\tilde z - z),\ \dot{\tilde z} = \tilde\alpha (z - \tilde z) \f$, in closed form;
/// - a gradient with \f$ q = \nabla f_i(x) - \nu x - \tilde y \f$ moves x by \f$ -\gamma q \f$, x~
///   by \f$ -\tilde\gamma q \f$, y~ by \f$ \delta q \f$;
/// - an event of i and j with \f$ m = (y_i + z_i) - (y_j + z_j) \f$ moves z by \f$ \mp\beta m \f$
///   and z~ by \f$ \mp\tilde\beta m \f$.
///
/// \f$ E|x_t - x^*|^2 \f$ falls at least like \f$ e^{-s t / 8} \f$, with one gradient a worker and
/// `rate` events of all in a unit of time: \f$ O(\sqrt{L / \mu}) \f$ gradients a worker and
/// \f$ O(n \sqrt{\chi_1 \chi_2} \sqrt{L / \mu}) \f$ events, whatever the graph. x, x~, y, y~ start
/// anywhere, z and z~ at 0: \f$ \sum_i \tilde\alpha z_i + \alpha \tilde z_i \f$ stays what it is
/// however late the halves of events are, and the limit is the optimum only where it is 0. A
/// gradient may be as seldom as a quarter of planned; events may not: see dadao_least_rate().
///
/// Extra state: five models. On the wire: one vector each way an event.
class DADAO final : public PairAlgorithm {
 public:
  explicit DADAO(const DADAOConstants& constants) : constants_(constants) {}

  [[nodiscard]] std::string_view name() const override { return "dadao"; }
  [[nodiscard]] int num_vectors() const override { return 6; }
  [[nodiscard]] bool is_relative() const override { return false; }
  [[nodiscard]] const DADAOConstants& constants() const noexcept { return constants_; }
  void flow(State state, double elapsed) const override;
  void write_payload(State state, const VectorView& out) const override;
  void jump(State state, const VectorView& difference, double sign) const override;

  /// `gradient` is that at x.
  void local_step(State state, const VectorView& gradient) const override {
    gradient_event(state, gradient);
  }

  /// The same. Returns \f$ |q|^2 \f$, which goes to 0.
  double gradient_event(State state, const VectorView& gradient) const;

  /// What `elapsed` does, as a linear map.
  [[nodiscard]] kernels::DADAOFlow flow_of(double elapsed) const;

 private:
  DADAOConstants constants_;
};

/// Finds out that DADAO diverges, on one worker. Local; not for calls from several threads.
class DivergenceGuard {
 public:
  /// `squares`: what DADAO::gradient_event() returned; `events_over_planned`: the pair events that
  /// this worker took part in, over those planned for its time. Throws gossip::Error, with the rate
  /// planned and the rate achieved, when |q|^2 is no number, or has grown twice by a factor of 10^9
  /// over the largest of max(16, 8 / s) steps: those from the first, and those from where it had
  /// grown so once. Once is what happens to a worker that had no gradient at first, or a state that
  /// had converged to other data.
  void check(double squares, const DADAO& method, double events_over_planned);

 private:
  std::int64_t steps_ = 0;
  std::int64_t begin_ = 0;  // of the steps that later ones are measured by
  double largest_ = 0.0;    // of them
  bool has_grown_ = false;  // once
};

}  // namespace gossip::algorithm
