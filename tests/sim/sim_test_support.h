// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include <libgossip/base/types.h>

namespace gossip::test {

/// QUAD(n, d, mu, L): \f$ f_i(x) = \frac12 \sum_k h_{ik} (x_k - c_{ik})^2 \f$ with \f$ h_{ik} = \mu
/// + (L - \mu) \frac{(5 i + 3 k) \bmod n}{n - 1},\ c_{ik} = \cos(1.3 i + 0.7 k) \f$.
class Quadratics {
 public:
  Quadratics(int size, std::size_t num_elements, double mu, double smoothness)
      : size_(size), num_elements_(num_elements), mu_(mu), smoothness_(smoothness) {
    for (std::size_t k = 0; k < num_elements; ++k) {
      double weighted = 0.0;
      double sum = 0.0;
      for (Rank i = 0; i < size; ++i) {
        weighted += curvature(i, k) * center(i, k);
        sum += curvature(i, k);
      }
      optimum_.push_back(weighted / sum);
    }
  }

  /// Writes \f$ -\gamma \nabla f_i(x) \f$.
  void gradient_step(Rank i, std::span<const double> x, double gamma, std::span<double> out) const {
    for (std::size_t k = 0; k < num_elements_; ++k) {
      out[k] = -gamma * curvature(i, k) * (x[k] - center(i, k));
    }
  }

  /// Writes \f$ \nabla f_i(x) \f$.
  void gradient(Rank i, std::span<const double> x, std::span<double> out) const {
    gradient_step(i, x, -1.0, out);
  }

  /// Writes \f$ \nabla f_i^*(y) \f$, the x with \f$ \nabla f_i(x) = y \f$.
  void conjugate_gradient(Rank i, std::span<const double> y, std::span<double> out) const {
    for (std::size_t k = 0; k < num_elements_; ++k) out[k] = y[k] / curvature(i, k) + center(i, k);
  }

  /// \f$ |x - x^*|^2 \f$.
  [[nodiscard]] double error_of(std::span<const double> x) const {
    double sum = 0.0;
    for (std::size_t k = 0; k < num_elements_; ++k) {
      sum += (x[k] - optimum_[k]) * (x[k] - optimum_[k]);
    }
    return sum;
  }

  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] std::size_t num_elements() const { return num_elements_; }

 private:
  [[nodiscard]] double curvature(Rank i, std::size_t k) const {
    const int step = (5 * i + 3 * static_cast<int>(k)) % size_;
    return mu_ + (smoothness_ - mu_) * step / std::max(1, size_ - 1);
  }
  [[nodiscard]] static double center(Rank i, std::size_t k) {
    return std::cos(1.3 * i + 0.7 * static_cast<double>(k));
  }

  int size_;
  std::size_t num_elements_;
  double mu_;
  double smoothness_;
  std::vector<double> optimum_;
};

/// The means over the workers of \f$ |x_i - x^*|^2 \f$ and its part \f$ |\bar x - x^*|^2 \f$.
template <class Group>
std::pair<double, double> errors_of(const Group& group, const Quadratics& problem) {
  std::vector<double> mean(problem.num_elements(), 0.0);
  double error = 0.0;
  for (Rank i = 0; i < problem.size(); ++i) {
    const std::span<const double> x = group.model(i);
    error += problem.error_of(x) / problem.size();
    for (std::size_t k = 0; k < mean.size(); ++k) mean[k] += x[k] / problem.size();
  }
  return {error, problem.error_of(mean)};
}

}  // namespace gossip::test
