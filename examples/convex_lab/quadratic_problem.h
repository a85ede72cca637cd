// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Separable quadratic problems.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "convex_lab/convex_problem.h"

namespace gossip::examples {

/// \f$ f_i(x) = \frac12 \sum_k h_{ik} (x_k - c_{ik})^2 \f$. With m > 1 components, component j has
/// c_ik + (2 j + 1) / m - 1 in place of c_ik.
class QuadraticProblem final : public ConvexProblem {
 public:
  using Rows = std::vector<std::vector<double>>;

  /// `curvatures` (h) and `centers` (c): [num_workers][dimension], h within [mu, lipschitz].
  /// Throws gossip::Error for other shapes, values out of range, mu <= 0 or > lipschitz.
  QuadraticProblem(Rows curvatures, Rows centers, double mu, double lipschitz,
                   std::size_t num_components = 1, std::string name = "quadratic");

  [[nodiscard]] std::size_t num_components(Rank) const override { return num_components_; }
  [[nodiscard]] double component_lipschitz() const override { return lipschitz(); }
  void gradient(Rank worker, std::span<const double> x, std::span<double> result) const override;
  void component_gradient(Rank worker, std::size_t component, std::span<const double> x,
                          std::span<double> result) const override;
  [[nodiscard]] bool has_dual() const override { return true; }
  void dual_gradient(Rank worker, std::span<const double> y,
                     std::span<double> result) const override;
  [[nodiscard]] nlohmann::ordered_json describe() const override;

 private:
  Rows curvatures_;
  Rows centers_;
  std::size_t num_components_;
  std::string name_;
};

/// What a generated quadratic problem is made from.
struct QuadraticSize {
  int num_workers;
  std::size_t dimension;
  double mu;
  double lipschitz;
  std::size_t num_components = 1;
};

/// "quad", the same everywhere without a generator: \f$ h_{ik} = \mu + (L - \mu) ((5i + 3k) \bmod
/// n) / (n - 1),\ c_{ik} = \cos(1.3 i + 0.7 k) \f$.
[[nodiscard]] std::unique_ptr<QuadraticProblem> quad(const QuadraticSize& size);

/// "quadratic": \f$ h_{ik} = \mu (L/\mu)^{k/(d-1)} \f$ for all workers, so that their mean is as
/// badly conditioned as each of them (that of "quad" is not), and c_ik = a_k + heterogeneity * b_ik
/// with normal a and b. Heterogeneity 0: all workers have one minimizer.
[[nodiscard]] std::unique_ptr<QuadraticProblem> random_quadratic(const QuadraticSize& size,
                                                                 double heterogeneity,
                                                                 std::uint64_t seed);

}  // namespace gossip::examples
