// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/logistic_problem.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/kernels/vector.h>

namespace gossip::examples {
namespace {

using Vector = std::vector<double>;
using Row = std::span<const Samples::Feature>;

double product(Row row, std::span<const double> x) {
  double sum = 0.0;
  for (const Samples::Feature& feature : row) sum += feature.value * x[feature.index];
  return sum;
}

void add(Row row, double factor, std::span<double> result) {
  for (const Samples::Feature& feature : row) result[feature.index] += factor * feature.value;
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}

double norm(std::span<const double> a) { return std::sqrt(dot(a, a)); }

/// 1 / (1 + e^t), without overflow.
double falling(double t) {
  if (t < 0.0) return 1.0 / (1.0 + std::exp(t));
  const double e = std::exp(-t);
  return e / (1.0 + e);
}

/// log(1 + e^-t), without overflow.
double softplus(double t) { return std::max(0.0, -t) + std::log1p(std::exp(-std::abs(t))); }

/// Of A^T A / m, by power iteration from a vector that is the same everywhere.
double largest_eigenvalue_of(const Samples& samples) {
  constexpr int kMostSteps = 10000;
  SplitMix64 random(1);
  Vector v(samples.dimension);
  for (double& value : v) value = 0.5 + random.unit();
  double eigenvalue = 0.0;
  for (int step = 0; step < kMostSteps; ++step) {
    const double length = norm(v);
    if (length == 0.0) return 0.0;
    Vector next(samples.dimension, 0.0);
    kernels::scale(std::span(v), 1.0 / length);
    for (std::size_t j = 0; j < samples.size(); ++j) {
      const Row row = samples.row(j);
      add(row, product(row, v) / static_cast<double>(samples.size()), next);
    }
    const double last = std::exchange(eigenvalue, norm(next));
    v = std::move(next);
    if (std::abs(eigenvalue - last) <= 1e-12 * eigenvalue) break;
  }
  return eigenvalue;
}

std::size_t dimension_of(const std::vector<Samples>& parts) {
  return parts.empty() ? 0 : parts.front().dimension;
}

}  // namespace

LogisticProblem::LogisticProblem(std::vector<Samples> parts, const Curvature& curvature)
    : ConvexProblem(static_cast<int>(parts.size()), dimension_of(parts)), parts_(std::move(parts)) {
  choose_curvature(curvature);
  double largest = 0.0;
  for (const Samples& part : parts_) {
    for (std::size_t j = 0; j < part.size(); ++j) {
      double square = 0.0;
      for (const Samples::Feature& feature : part.row(j)) square += feature.value * feature.value;
      largest = std::max(largest, square);
    }
  }
  component_lipschitz_ = largest / 4.0 + mu();
  solve();
}

double LogisticProblem::largest_eigenvalue() const {
  double largest = 0.0;
  for (const Samples& part : parts_) largest = std::max(largest, largest_eigenvalue_of(part));
  return largest;
}

/// The squares of their squares are computed with.
void LogisticProblem::check_features() const {
  constexpr double kLeast = 1e-50;
  constexpr double kMost = 1e50;
  double largest = 0.0;
  for (const Samples& part : parts_) {
    for (const Samples::Feature& feature : part.features) {
      largest = std::max(largest, std::abs(feature.value));
    }
  }
  GOSSIP_CHECK(largest > 0.0, "All features of '{}' are 0.", parts_.front().name);
  GOSSIP_CHECK(largest >= kLeast && largest <= kMost,
               "The largest feature of '{}' is {}: it must be between {} and {}. Scale them, to "
               "about 1.",
               parts_.front().name, largest, kLeast, kMost);
}

void LogisticProblem::choose_curvature(const Curvature& curvature) {
  if (curvature.mu) check_curvature(*curvature.mu, curvature.lipschitz.value_or(*curvature.mu));
  GOSSIP_CHECK(curvature.condition > 1.0 && std::isfinite(curvature.condition),
               "kappa is {}: it must be a number above 1 here.", curvature.condition);
  check_features();
  const double of_data = largest_eigenvalue() / 4.0;
  if (!curvature.lipschitz) {
    const double mu = curvature.mu.value_or(of_data / (curvature.condition - 1.0));
    set_curvature(mu, of_data + mu);
    return;
  }
  const double lipschitz = *curvature.lipschitz;
  const double mu = curvature.mu.value_or(lipschitz / curvature.condition);
  GOSSIP_CHECK(mu < lipschitz, "mu is {} and L is {}: nothing is left for the data.", mu,
               lipschitz);
  const double scale = std::sqrt((lipschitz - mu) / of_data);
  for (Samples& part : parts_) {
    for (Samples::Feature& feature : part.features) feature.value *= scale;
  }
  set_curvature(mu, lipschitz);
}

std::size_t LogisticProblem::num_components(Rank worker) const {
  return parts_[static_cast<std::size_t>(worker)].size();
}

void LogisticProblem::gradient(Rank worker, std::span<const double> x,
                               std::span<double> result) const {
  const Samples& part = parts_[static_cast<std::size_t>(worker)];
  std::fill(result.begin(), result.end(), 0.0);
  for (std::size_t j = 0; j < part.size(); ++j) {
    const double label = part.labels[j];
    add(part.row(j), -label * falling(label * product(part.row(j), x)), result);
  }
  kernels::axpby(mu(), x, 1.0 / static_cast<double>(part.size()), result);
}

void LogisticProblem::component_gradient(Rank worker, std::size_t component,
                                         std::span<const double> x,
                                         std::span<double> result) const {
  const Samples& part = parts_[static_cast<std::size_t>(worker)];
  const double label = part.labels[component];
  for (std::size_t k = 0; k < x.size(); ++k) result[k] = mu() * x[k];
  add(part.row(component), -label * falling(label * product(part.row(component), x)), result);
}

double LogisticProblem::loss(std::span<const double> x) const {
  double total = 0.0;
  for (const Samples& part : parts_) {
    double sum = 0.0;
    for (std::size_t j = 0; j < part.size(); ++j) {
      sum += softplus(part.labels[j] * product(part.row(j), x));
    }
    total += sum / static_cast<double>(part.size());
  }
  return total / num_workers() + 0.5 * mu() * dot(x, x);
}

std::vector<double> LogisticProblem::mean_gradient(std::span<const double> x) const {
  Vector sum(dimension(), 0.0);
  Vector own(dimension());
  for (Rank worker = 0; worker < num_workers(); ++worker) {
    gradient(worker, x, own);
    kernels::axpby(1.0 / num_workers(), std::span<const double>(own), 1.0, std::span(sum));
  }
  return sum;
}

void LogisticProblem::multiply_hessian(std::span<const double> weights, std::span<const double> v,
                                       std::span<double> result) const {
  for (std::size_t k = 0; k < v.size(); ++k) result[k] = mu() * v[k];
  std::size_t sample = 0;
  for (const Samples& part : parts_) {
    for (std::size_t j = 0; j < part.size(); ++j) {
      add(part.row(j), weights[sample++] * product(part.row(j), v), result);
    }
  }
}

std::vector<double> LogisticProblem::newton_direction(std::span<const double> x,
                                                      std::span<const double> slope) const {
  Vector weights;
  for (const Samples& part : parts_) {
    const double share = 1.0 / (num_workers() * static_cast<double>(part.size()));
    for (std::size_t j = 0; j < part.size(); ++j) {
      const double p = falling(product(part.row(j), x));
      weights.push_back(share * p * (1.0 - p));
    }
  }
  Vector direction(dimension(), 0.0);
  Vector residual(slope.begin(), slope.end());
  kernels::scale(std::span(residual), -1.0);
  Vector search = residual;
  Vector image(dimension());
  double square = dot(residual, residual);
  const double goal = 1e-24 * square;
  for (std::size_t step = 0; step < 10 * dimension() + 100 && square > goal; ++step) {
    multiply_hessian(weights, search, image);
    const double length = square / dot(search, image);
    kernels::axpby(length, std::span<const double>(search), 1.0, std::span(direction));
    kernels::axpby(-length, std::span<const double>(image), 1.0, std::span(residual));
    const double last = std::exchange(square, dot(residual, residual));
    kernels::axpby(1.0, std::span<const double>(residual), square / last, std::span(search));
  }
  return direction;
}

void LogisticProblem::solve() {
  constexpr int kMostSteps = 100;
  Vector x(dimension(), 0.0);
  Vector slope = mean_gradient(x);
  const double first = norm(slope);
  for (int step = 0; step < kMostSteps && norm(slope) > 0.0; ++step) {
    const Vector direction = newton_direction(x, slope);
    const double before = loss(x);
    Vector next;
    double length = 1.0;
    for (;; length /= 2.0) {  // nearer to the optimum than 1e-6, losses are all alike
      next = x;
      kernels::axpby(length, std::span<const double>(direction), 1.0, std::span(next));
      const double bound = before + 1e-4 * length * dot(slope, direction);
      if (loss(next) <= bound || norm(slope) <= 1e-6 * first || length < 1e-10) break;
    }
    Vector next_slope = mean_gradient(next);
    const bool is_at_its_end = norm(next_slope) >= norm(slope) && norm(slope) <= 1e-10 * first;
    if (is_at_its_end) break;
    x = std::move(next);
    slope = std::move(next_slope);
  }
  GOSSIP_CHECK(norm(slope) <= 1e-12 * std::max(first, mu() * norm(x)),
               "Newton's method ended where the gradient is {} of what it is at 0: the problem is "
               "too badly conditioned (kappa = {}).",
               norm(slope) / first, lipschitz() / mu());
  set_optimum(std::move(x));
}

nlohmann::ordered_json LogisticProblem::describe() const {
  return {{"name", "logistic"},
          {"data", parts_.front().name},
          {"workers", num_workers()},
          {"dimension", dimension()},
          {"mu", mu()},
          {"L", lipschitz()},
          {"components", parts_.front().size()}};
}

}  // namespace gossip::examples
