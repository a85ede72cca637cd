// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/algorithm/dadao.h>
#include <libgossip/base/random.h>
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

/// The rate r of E|v|^2 ~ e^(-rt) over all vectors v, for f_i(x) = h_i x^2 / 2, from a population
/// of courses that is resampled in proportion to |v|^2 and scaled to |v|^2 = 1 after each interval
/// (sim/mean_square.h says why).
double rate_of(const topology::Graph& graph, const std::vector<double>& h, double kappa,
               double from, double until) {
  constexpr double kInterval = 5.0;
  constexpr std::size_t kCourses = 2000;
  const DADAO method(dadao_constants(1.0, kappa, graph, 1.0));
  const auto gradients = gradients_of(h, /*has_centers=*/false);
  SplitMix64 random(7);
  std::vector<PairSimulation> groups;
  std::vector<PoissonClock> clocks;
  for (std::size_t course = 0; course < kCourses; ++course) {
    groups.emplace_back(method, graph.size(), 1);
    clocks.push_back(clock_of(graph, method.constants().rate, 1000 + course));
    std::vector<double> start(h.size());
    for (double& value : start) value = random.unit() - 0.5;
    groups.back().set_models(start);
  }
  std::vector<double> times;
  std::vector<double> logs;
  double log_mean = 0.0;
  for (double time = kInterval; time < until + kInterval / 2; time += kInterval) {
    std::vector<double> squares;
    std::vector<std::vector<double>> values;
    double sum = 0.0;
    for (std::size_t course = 0; course < kCourses; ++course) {
      groups[course].run(clocks[course], time, gradients);
      const std::span<double> all = groups[course].values();
      values.emplace_back(all.begin(), all.end());
      squares.push_back(0.0);
      for (const double value : all) squares.back() += value * value;
      sum += squares.back();
    }
    log_mean += std::log(sum / kCourses);
    if (time > from) {
      times.push_back(time);
      logs.push_back(log_mean);
    }
    double position = random.unit();
    double passed = 0.0;
    std::size_t chosen = 0;
    for (std::size_t course = 0; course < kCourses; ++course) {
      for (; passed + squares[chosen] * kCourses / sum <= position && chosen + 1 < kCourses;
           ++chosen) {
        passed += squares[chosen] * kCourses / sum;
      }
      position += 1.0;
      const double scale = 1.0 / std::sqrt(squares[chosen]);
      const std::span<double> all = groups[course].values();
      for (std::size_t k = 0; k < all.size(); ++k) all[k] = scale * values[chosen][k];
    }
  }
  return -fitted_slope(times, logs);
}

std::vector<double> curvatures(int size, double kappa) {
  std::vector<double> h;
  for (int i = 0; i < size; ++i) h.push_back(1.0 + (kappa - 1.0) * i / (size - 1));
  return h;
}

TEST(DADAOSimulation, FallsAtTheExactRates) {
  struct Row {
    topology::Graph graph;
    double rate;
  };
  for (const Row& row : {Row{topology::complete(4), 0.04331067}, Row{topology::star(4), 0.04330506},
                         Row{topology::ring(4), 0.04389705}, Row{topology::path(4), 0.04524196},
                         Row{topology::ring(8), 0.04388436}, Row{topology::path(8), 0.04476318},
                         Row{topology::star(8), 0.04198521}}) {
    const int size = row.graph.size();
    EXPECT_NEAR(rate_of(row.graph, curvatures(size, 10.0), 10.0, 40.0, 160.0), row.rate,
                0.05 * row.rate)
        << row.graph.name() << " of " << size;
  }
}

TEST(DADAOSimulation, FallsAtTheExactRatesOfEqualWorkersAndWorseConditions) {
  const auto graph = topology::ring(4);
  const auto all = [](double h) { return std::vector<double>(4, h); };

  EXPECT_NEAR(rate_of(graph, all(10.0), 10.0, 40.0, 160.0), 0.04138186, 0.05 * 0.04138186);
  EXPECT_NEAR(rate_of(graph, all(1.0), 10.0, 40.0, 160.0), 0.05468956, 0.05 * 0.05468956);
  EXPECT_NEAR(rate_of(graph, curvatures(4, 100.0), 100.0, 150.0, 500.0), 0.01385298,
              0.05 * 0.01385298);
}

}  // namespace
}  // namespace gossip::sim
