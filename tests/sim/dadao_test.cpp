// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/algorithm/dadao.h>
#include <libgossip/sim/mean_square.h>
#include <libgossip/sim/pair_simulation.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/second_moment.h>

#include "sim_test_support.h"

namespace gossip::sim {
namespace {

using algorithm::DADAO;
using algorithm::dadao_constants;
using algorithm::DADAOConstants;
using test::errors_of;
using test::Quadratics;

/// Equal intensities on all edges, `rate` events per unit of time in all.
PoissonClock clock_of(const topology::Graph& graph, double rate, std::uint64_t seed) {
  return {graph.size(), topology::equal_intensities(graph, 2.0 * rate / graph.size()), 1.0, seed};
}

/// f_i(x) = h_i (x - cos(1.3 i))^2 / 2.
PairSimulation::LocalStep gradients_of(std::vector<double> h, bool has_centers = true) {
  return [h = std::move(h), has_centers](Rank i, std::span<const double> x, std::span<double> out) {
    for (std::size_t k = 0; k < x.size(); ++k) {
      out[k] = h[static_cast<std::size_t>(i)] * (x[k] - (has_centers ? std::cos(1.3 * i) : 0.0));
    }
  };
}

/// The next `count` events; returns how many of them were gradients.
int play(PairSimulation& group, PoissonClock& clock, int count,
         const PairSimulation::LocalStep& gradients) {
  int result = 0;
  for (int event = 0; event < count; ++event) {
    const Event next = clock.next();
    result += next.is_gradient() ? 1 : 0;
    group.play(next, gradients);
  }
  return result;
}

TEST(DADAOSimulation, RepeatsTheKnownCourse) {
  const auto graph = topology::ring(4);
  const DADAO method(dadao_constants(1.0, 10.0, graph, 1.0));
  PairSimulation group(method, 4, 1);
  PoissonClock clock = clock_of(graph, method.constants().rate, 42);
  const auto gradients = gradients_of({1.0, 4.0, 7.0, 10.0});
  const auto expect = [&](Rank worker, std::vector<double> values) {
    for (int v = 0; v < 6; ++v) {
      EXPECT_NEAR(group.vector(worker, v).front(), values[static_cast<std::size_t>(v)], 1e-12) << v;
    }
  };

  int count = play(group, clock, 10, gradients);
  EXPECT_NEAR(group.time(), 0.718102570469598, 1e-12);
  expect(1, {0.0228339430616832, 0.0950859635416419, -0.0320771100141133, -0.961918061321926,
             0.017948132555704, 0.24760428087666});

  count += play(group, clock, 990, gradients);
  EXPECT_EQ(count, 617);
  EXPECT_NEAR(group.time(), 156.816028036358, 1e-9);
  const std::vector<double> x_1000{-0.505934963337343, -0.506277117965141, -0.510377720427168,
                                   -0.507417641853061};
  for (Rank i = 0; i < 4; ++i) {
    EXPECT_NEAR(group.model(i).front(), x_1000[static_cast<std::size_t>(i)], 1e-12) << i;
  }
  EXPECT_NEAR(group.vector(1, 5).front(), 3.095800044778, 1e-11);

  count += play(group, clock, 4000, gradients);
  EXPECT_EQ(count, 3075);
  EXPECT_NEAR(group.time(), 764.256195018678, 1e-9);
  const std::vector<double> x_5000{-0.508524954497537, -0.508524954443058, -0.508524956824507,
                                   -0.508524953157596};
  for (Rank i = 0; i < 4; ++i) {
    EXPECT_NEAR(group.model(i).front(), x_5000[static_cast<std::size_t>(i)], 1e-12) << i;
  }
}

TEST(DADAOSimulation, LateHalvesKeepTheWeightedSumOfZ) {
  const Quadratics problem(8, 3, 1.0, 10.0);
  const auto graph = topology::ring(8);
  const DADAO method(dadao_constants(1.0, 10.0, graph));
  const DADAOConstants& c = method.constants();
  // A worker takes part in rate / 4 events per unit of time; half of the time between two of them.
  PairSimulation group(method, 8, 3, /*delay=*/2.0 / c.rate);
  PoissonClock clock = clock_of(graph, c.rate, 3);
  const PairSimulation::LocalStep gradients = [&](Rank i, std::span<const double> x,
                                                  std::span<double> out) {
    problem.gradient_step(i, x, -1.0, out);
  };

  group.run(clock, 300.0, gradients);
  group.deliver_all();

  for (std::size_t k = 0; k < 3; ++k) {
    double sum = 0.0;
    for (Rank i = 0; i < 8; ++i) {
      sum += c.alpha_tilde * group.vector(i, 4)[k] + c.alpha * group.vector(i, 5)[k];
    }
    EXPECT_NEAR(sum, 0.0, 1e-12) << k;
  }
  EXPECT_LT(errors_of(group, problem).first, 1e-4);
}

TEST(DADAOSimulation, BelowTheLeastRateItDiverges) {
  const Quadratics problem(16, 4, 1.0, 10.0);
  const auto graph = topology::ring(16);
  const topology::Chi chi = topology::chi_edge_probability(graph);
  const double least = algorithm::dadao_least_rate(chi);
  const auto error_at = [&](double factor, double until) {
    const DADAO method(dadao_constants(1.0, 10.0, chi, factor * least));
    PairSimulation group(method, 16, 4);
    PoissonClock clock = clock_of(graph, factor * least, 1);
    group.run(clock, until, [&](Rank i, std::span<const double> x, std::span<double> out) {
      problem.gradient_step(i, x, -1.0, out);
    });
    return errors_of(group, problem).first;
  };

  EXPECT_LT(error_at(1.0, 100.0), 1.0);
  EXPECT_GT(error_at(0.7, 100.0), 1e3);
}

}  // namespace
}  // namespace gossip::sim
