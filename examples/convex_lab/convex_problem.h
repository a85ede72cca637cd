// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Strongly convex problems whose optimum is known: what the convex lab runs methods on.

#include <cstddef>
#include <span>
#include <vector>

#include <nlohmann/json.hpp>

#include <libgossip/base/types.h>

namespace gossip::examples {

/// \f$ \min_x \frac1n \sum_i f_i(x) \f$ with one function a worker, each mu-strongly convex and
/// L-smooth, and the mean of its components: \f$ f_i = \frac1m \sum_j f_{ij} \f$. Immutable;
/// vectors have dimension() elements.
///
/// Threads: const member functions may run at the same time.
class ConvexProblem {
 public:
  ConvexProblem(const ConvexProblem&) = delete;
  ConvexProblem& operator=(const ConvexProblem&) = delete;
  virtual ~ConvexProblem() = default;

  [[nodiscard]] int num_workers() const noexcept { return num_workers_; }
  [[nodiscard]] std::size_t dimension() const noexcept { return dimension_; }
  [[nodiscard]] double mu() const noexcept { return mu_; }
  [[nodiscard]] double lipschitz() const noexcept { return lipschitz_; }

  /// The minimizer, to 1e-12 and better.
  [[nodiscard]] std::span<const double> optimum() const noexcept { return optimum_; }

  /// Components of one worker's function.
  [[nodiscard]] virtual std::size_t num_components(Rank worker) const = 0;

  /// The largest smoothness constant of a component: what SAGA and SVRG choose their step by.
  [[nodiscard]] virtual double component_lipschitz() const = 0;

  /// result = the gradient of f_worker at `x`.
  virtual void gradient(Rank worker, std::span<const double> x, std::span<double> result) const = 0;

  /// result = the gradient of one component of f_worker at `x`.
  virtual void component_gradient(Rank worker, std::size_t component, std::span<const double> x,
                                  std::span<double> result) const = 0;

  /// Whether dual_gradient() is there.
  [[nodiscard]] virtual bool has_dual() const { return false; }

  /// result = the gradient of the conjugate of f_worker at `y`: the x whose gradient is y. Throws
  /// gossip::Error unless has_dual().
  virtual void dual_gradient(Rank worker, std::span<const double> y,
                             std::span<double> result) const;

  /// What a result says about the problem.
  [[nodiscard]] virtual nlohmann::ordered_json describe() const = 0;

 protected:
  /// Throws gossip::Error unless there are a worker and an element.
  ConvexProblem(int num_workers, std::size_t dimension);

  /// What the heir found, in its constructor. Throws as check_curvature().
  void set_curvature(double mu, double lipschitz);
  void set_optimum(std::vector<double> optimum) { optimum_ = std::move(optimum); }

 private:
  int num_workers_;
  std::size_t dimension_;
  double mu_ = 0.0;
  double lipschitz_ = 0.0;
  std::vector<double> optimum_;
};

/// Throws gossip::Error unless 0 < mu <= lipschitz, both finite.
void check_curvature(double mu, double lipschitz);

}  // namespace gossip::examples
