// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Logistic regression with a regularizer.

#include <optional>
#include <vector>

#include "convex_lab/convex_problem.h"
#include "convex_lab/samples.h"

namespace gossip::examples {

/// \f$ f_i(x) = \frac1m \sum_j \log(1 + e^{-b_j a_j^T x}) + \frac\mu2 |x|^2 \f$ over the samples
/// (a_j, b_j) of worker i, one component a sample. \f$ L = \max_i \lambda_{max}(A_i^T A_i / m) / 4
/// + \mu \f$ by power iteration; the optimum by Newton's method.
class LogisticProblem final : public ConvexProblem {
 public:
  /// How strongly convex and how smooth it is to be.
  struct Curvature {
    std::optional<double> mu = {};
    /// Scales all features by one factor so that L is this.
    std::optional<double> lipschitz = {};
    /// L / mu where one of the two is not given.
    double condition = 10.0;
  };

  /// One worker a part; none is empty. Without mu and L the features stay as they are and mu
  /// follows from the condition. Throws gossip::Error for mu <= 0 or > L, and where all features
  /// are 0, or too large or small to compute with their squares.
  LogisticProblem(std::vector<Samples> parts, const Curvature& curvature);

  [[nodiscard]] std::size_t num_components(Rank worker) const override;
  [[nodiscard]] double component_lipschitz() const override { return component_lipschitz_; }
  void gradient(Rank worker, std::span<const double> x, std::span<double> result) const override;
  void component_gradient(Rank worker, std::size_t component, std::span<const double> x,
                          std::span<double> result) const override;
  [[nodiscard]] nlohmann::ordered_json describe() const override;

 private:
  /// The largest eigenvalue of A^T A / m over the workers.
  [[nodiscard]] double largest_eigenvalue() const;
  void check_features() const;
  void choose_curvature(const Curvature& curvature);
  void solve();
  [[nodiscard]] double loss(std::span<const double> x) const;
  [[nodiscard]] std::vector<double> mean_gradient(std::span<const double> x) const;
  /// The direction of Newton's method at `x`, by conjugate gradients.
  [[nodiscard]] std::vector<double> newton_direction(std::span<const double> x,
                                                     std::span<const double> slope) const;
  void multiply_hessian(std::span<const double> weights, std::span<const double> v,
                        std::span<double> result) const;

  std::vector<Samples> parts_;
  double component_lipschitz_ = 0.0;
};

}  // namespace gossip::examples
