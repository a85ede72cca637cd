// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/quadratic_problem.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <libgossip/base/error.h>

#include "convex_lab/normal_numbers.h"

namespace gossip::examples {
namespace {

std::size_t checked_dimension(const QuadraticProblem::Rows& rows) {
  return rows.empty() ? 0 : rows.front().size();
}

void check_shape(const QuadraticProblem::Rows& rows, const char* name, std::size_t workers,
                 std::size_t dimension) {
  GOSSIP_CHECK(rows.size() == workers, "{} has {} rows, but there are {} workers.", name,
               rows.size(), workers);
  for (std::size_t i = 0; i < workers; ++i) {
    GOSSIP_CHECK(rows[i].size() == dimension, "Row {} of {} has {} numbers in place of {}.", i,
                 name, rows[i].size(), dimension);
    for (const double value : rows[i]) {
      GOSSIP_CHECK(std::isfinite(value), "Row {} of {} holds {}.", i, name, value);
    }
  }
}

/// The sums over workers decide: sum h c / sum h.
std::vector<double> minimizer(const QuadraticProblem::Rows& h, const QuadraticProblem::Rows& c) {
  std::vector<double> result(c.front().size());
  for (std::size_t k = 0; k < result.size(); ++k) {
    long double weighted = 0.0L;
    long double weight = 0.0L;
    for (std::size_t i = 0; i < h.size(); ++i) {
      weighted += static_cast<long double>(h[i][k]) * c[i][k];
      weight += h[i][k];
    }
    result[k] = static_cast<double>(weighted / weight);
  }
  return result;
}

}  // namespace

QuadraticProblem::QuadraticProblem(Rows curvatures, Rows centers, double mu, double lipschitz,
                                   std::size_t num_components, std::string name)
    : ConvexProblem(static_cast<int>(curvatures.size()), checked_dimension(curvatures)),
      curvatures_(std::move(curvatures)),
      centers_(std::move(centers)),
      num_components_(num_components),
      name_(std::move(name)) {
  set_curvature(mu, lipschitz);
  GOSSIP_CHECK(num_components >= 1, "A worker has no components: it needs at least 1.");
  check_shape(curvatures_, "h", curvatures_.size(), dimension());
  check_shape(centers_, "c", curvatures_.size(), dimension());
  const double slack = 1e-12 * lipschitz;
  for (std::size_t i = 0; i < curvatures_.size(); ++i) {
    for (const double h : curvatures_[i]) {
      GOSSIP_CHECK(h >= mu - slack && h <= lipschitz + slack,
                   "Row {} of h holds {}, which is not between mu = {} and L = {}.", i, h, mu,
                   lipschitz);
    }
  }
  set_optimum(minimizer(curvatures_, centers_));
}

void QuadraticProblem::gradient(Rank worker, std::span<const double> x,
                                std::span<double> result) const {
  const std::vector<double>& h = curvatures_[static_cast<std::size_t>(worker)];
  const std::vector<double>& c = centers_[static_cast<std::size_t>(worker)];
  for (std::size_t k = 0; k < x.size(); ++k) result[k] = h[k] * (x[k] - c[k]);
}

void QuadraticProblem::component_gradient(Rank worker, std::size_t component,
                                          std::span<const double> x,
                                          std::span<double> result) const {
  const std::vector<double>& h = curvatures_[static_cast<std::size_t>(worker)];
  const std::vector<double>& c = centers_[static_cast<std::size_t>(worker)];
  const double shift =
      static_cast<double>(2 * component + 1) / static_cast<double>(num_components_) - 1.0;
  for (std::size_t k = 0; k < x.size(); ++k) result[k] = h[k] * (x[k] - c[k] - shift);
}

void QuadraticProblem::dual_gradient(Rank worker, std::span<const double> y,
                                     std::span<double> result) const {
  const std::vector<double>& h = curvatures_[static_cast<std::size_t>(worker)];
  const std::vector<double>& c = centers_[static_cast<std::size_t>(worker)];
  for (std::size_t k = 0; k < y.size(); ++k) result[k] = c[k] + y[k] / h[k];
}

nlohmann::ordered_json QuadraticProblem::describe() const {
  return {{"name", name_}, {"workers", num_workers()}, {"dimension", dimension()},
          {"mu", mu()},    {"L", lipschitz()},         {"components", num_components_}};
}

std::unique_ptr<QuadraticProblem> quad(const QuadraticSize& size) {
  check_curvature(size.mu, size.lipschitz);
  const auto workers = static_cast<std::size_t>(std::max(size.num_workers, 0));
  QuadraticProblem::Rows h(workers, std::vector<double>(size.dimension));
  QuadraticProblem::Rows c = h;
  const double last = std::max(1, size.num_workers - 1);
  for (std::size_t i = 0; i < workers; ++i) {
    for (std::size_t k = 0; k < size.dimension; ++k) {
      const auto step = static_cast<double>((5 * i + 3 * k) % workers);
      h[i][k] = size.mu + (size.lipschitz - size.mu) * step / last;
      c[i][k] = std::cos(1.3 * static_cast<double>(i) + 0.7 * static_cast<double>(k));
    }
  }
  return std::make_unique<QuadraticProblem>(std::move(h), std::move(c), size.mu, size.lipschitz,
                                            size.num_components, "quad");
}

std::unique_ptr<QuadraticProblem> random_quadratic(const QuadraticSize& size, double heterogeneity,
                                                   std::uint64_t seed) {
  check_curvature(size.mu, size.lipschitz);
  const auto workers = static_cast<std::size_t>(std::max(size.num_workers, 0));
  SplitMix64 random(seed);
  std::vector<double> common(size.dimension);
  for (double& value : common) value = normal(random);
  QuadraticProblem::Rows h(workers, std::vector<double>(size.dimension));
  QuadraticProblem::Rows c = h;
  const auto last = static_cast<double>(std::max<std::size_t>(size.dimension, 2) - 1);
  for (std::size_t i = 0; i < workers; ++i) {
    for (std::size_t k = 0; k < size.dimension; ++k) {
      const double place = static_cast<double>(k) / last;
      h[i][k] = size.mu * std::pow(size.lipschitz / size.mu, place);
      c[i][k] = common[k] + heterogeneity * normal(random);
    }
  }
  return std::make_unique<QuadraticProblem>(std::move(h), std::move(c), size.mu, size.lipschitz,
                                            size.num_components, "quadratic");
}

}  // namespace gossip::examples
