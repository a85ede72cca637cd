// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Continuized decentralized optimization: accelerated, asynchronous, dual, in virtual time.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/sim/poisson_clock.h>
#include <libgossip/topology/spectral.h>

namespace gossip::sim {

/// The numbers of ContinuizedSimulation.
struct ContinuizedConstants {
  double eta = 0.0;           ///< rate at which Y and Z mix
  std::vector<double> gamma;  ///< of each edge: what an event moves of the difference, in Y
  double gamma_tilde = 0.0;   ///< the same in Z
};

/// For losses that are each mu-strongly convex with L = `smoothness`: with the smallest positive
/// eigenvalue \f$ \mu_g \f$ of the Laplacian of the intensities and the effective resistances
/// R_e, the largest of which is R, \f$ \eta = \sqrt{\mu_g \mu / (R L)},\ \gamma_e = \mu R_e / (2
/// R),\ \tilde\gamma = \sqrt{L \mu / (2 \mu_g R)} \f$.
///
/// Throws gossip::Error unless 0 < mu <= L, both finite, and as topology::chi().
[[nodiscard]] ContinuizedConstants continuized_constants(
    int size, const std::vector<topology::EdgeIntensity>& edges, double mu, double smoothness);

/// Continuized decentralized optimization (Even, Berthier, Bach, Flammarion, Hendrikx, Gaillard,
/// Massoulie, Taylor 2021, arXiv 2106.07644) of all workers. Two dual vectors Y, Z a worker, at
/// first 0:
///
/// - between events \f$ \dot Y = \eta (Z - Y),\ \dot Z = \eta (Y - Z) \f$;
/// - an event of edge e = (i, j), with \f$ q = \nabla f_i^*(Y_i) - \nabla f_j^*(Y_j) \f$, moves \f$
///   \gamma_e q \f$ from Y_i to Y_j and \f$ \tilde\gamma q \f$ from Z_i to Z_j.
///
/// \f$ \nabla f_i^*(Z_i) \f$ is the solution. Gradients and communications are coupled: two and one
/// an event.
///
/// ```
/// ContinuizedSimulation group(n, edges, mu, L, num_elements);
/// PoissonClock clock(n, edges, /*gradient_rate=*/0.0, seed);
/// while (error_of(group) > 1e-10) group.play(clock.next(), conjugate_gradient);
/// ```
///
/// Local; one thread.
class ContinuizedSimulation {
 public:
  /// Writes the gradient of a worker's conjugate loss at `dual` into `x`: the x at which the
  /// gradient of the loss is `dual`. Both have `num_elements`.
  using ConjugateGradient =
      std::function<void(Rank worker, std::span<const double> dual, std::span<double> x)>;

  /// Throws as continuized_constants().
  ContinuizedSimulation(int size, const std::vector<topology::EdgeIntensity>& edges, double mu,
                        double smoothness, std::size_t num_elements);

  /// One pair event along one of the edges, not before the last one. Throws gossip::Error for
  /// another event.
  void play(const Event& event, const ConjugateGradient& gradient);

  /// Flows all workers to the time of the last event.
  void synchronize();

  [[nodiscard]] int size() const noexcept { return static_cast<int>(times_.size()); }
  [[nodiscard]] std::size_t num_elements() const noexcept { return num_elements_; }
  [[nodiscard]] double time() const noexcept { return time_; }

  /// Z of a worker as of the worker's own last event.
  [[nodiscard]] std::span<const double> dual(Rank worker) const;

  /// Evaluations of gradients of conjugate losses, over all workers.
  [[nodiscard]] std::int64_t gradients() const noexcept { return 2 * events_; }
  /// Pair events, each a message each way.
  [[nodiscard]] std::int64_t communications() const noexcept { return events_; }
  /// The elements that the messages carry, in bytes.
  [[nodiscard]] std::int64_t bytes_sent() const noexcept;

 private:
  struct Edge {
    Rank a;  // < b
    Rank b;
    double gamma;
  };

  [[nodiscard]] double gamma_of(const Event& event) const;
  [[nodiscard]] std::span<double> row(std::vector<double>& vector, Rank worker);
  void flow(Rank worker);
  void jump(Rank worker, double gamma, double sign);

  std::size_t num_elements_;
  double eta_;
  double gamma_tilde_;
  std::vector<Edge> edges_;  // sorted
  std::vector<double> y_;    // [size][num_elements]
  std::vector<double> z_;
  std::vector<double> times_;
  double time_ = 0.0;
  std::int64_t events_ = 0;
  std::vector<double> difference_;
  std::vector<double> other_;
};

}  // namespace gossip::sim
