// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/sim/continuized_simulation.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/second_moment.h>

#include "sim_test_support.h"
#include "support/expect_throw.h"

namespace gossip::sim {
namespace {

using test::expect_throw;
using topology::EdgeIntensity;
using topology::Graph;

constexpr int kWorkers = 16;
constexpr std::size_t kElements = 4;

/// Beyond all counts: a broken method ends here.
constexpr std::int64_t kMostEvents = 20000;

/// Events until the mean of |x_i - x*|^2 is `accuracy` of that of x = 0, each worker as of its own
/// last event.
std::int64_t events_to(double accuracy, const Graph& graph, double kappa) {
  const test::Quadratics problem(kWorkers, kElements, 1.0, kappa);
  const std::vector<EdgeIntensity> edges = topology::equal_intensities(graph);
  ContinuizedSimulation group(kWorkers, edges, 1.0, kappa, kElements);
  PoissonClock clock(kWorkers, edges, 0.0, 1);
  const auto gradient = [&](Rank i, auto y, auto x) { problem.conjugate_gradient(i, y, x); };
  std::vector<double> x(kElements, 0.0);
  const double enough = accuracy * problem.error_of(x);
  const auto error = [&] {
    double sum = 0.0;
    for (Rank i = 0; i < kWorkers; ++i) {
      gradient(i, group.dual(i), std::span<double>(x));
      sum += problem.error_of(x) / kWorkers;
    }
    return sum;
  };
  while (error() > enough && group.communications() < kMostEvents) {
    group.play(clock.next(), gradient);
  }
  EXPECT_EQ(group.gradients(), 2 * group.communications());
  EXPECT_EQ(group.bytes_sent(), group.communications() * 2 * 4 * 8);
  return group.communications();
}

TEST(ContinuizedSimulation, NeedsTheCountsOfTheReference) {
  struct Row {
    Graph graph;
    std::int64_t rough;
    std::int64_t fine;
  };
  for (const Row& row :
       {Row{topology::complete(kWorkers), 552, 837}, Row{topology::star(kWorkers), 721, 1203},
        Row{topology::ring(kWorkers), 1357, 1955}, Row{topology::path(kWorkers), 2526, 3728}}) {
    EXPECT_EQ(events_to(1e-6, row.graph, 10.0), row.rough) << row.graph.name();
    EXPECT_EQ(events_to(1e-10, row.graph, 10.0), row.fine) << row.graph.name();
  }
  EXPECT_EQ(events_to(1e-10, topology::grid(kWorkers), 10.0), 1302)
      << "edges of different resistance";
  EXPECT_EQ(events_to(1e-10, topology::complete(kWorkers), 100.0), 2765);
}

TEST(ContinuizedSimulation, TakesItsConstantsFromLossesAndIntensities) {
  const std::vector<EdgeIntensity> star{{0, 1, 0.5}, {0, 2, 0.5}};
  const ContinuizedConstants c = continuized_constants(3, star, 2.0, 8.0);

  // The smallest positive eigenvalue is 1/2, the resistances are 2.
  EXPECT_NEAR(c.eta, 0.25, 1e-15);
  EXPECT_NEAR(c.gamma[0], 1.0, 1e-14);
  EXPECT_NEAR(c.gamma[1], 1.0, 1e-14);
  EXPECT_NEAR(c.gamma_tilde, std::sqrt(8.0), 1e-14);

  const std::vector<EdgeIntensity> triangle{{0, 1, 3.0}, {0, 2, 1.0}, {1, 2, 1.0}};
  const ContinuizedConstants t = continuized_constants(3, triangle, 2.0, 8.0);
  EXPECT_NEAR(t.gamma[1], 1.0, 1e-14);
  EXPECT_NEAR(t.gamma[0], 0.5, 1e-14) << "half the resistance";
}

TEST(ContinuizedSimulation, KeepsTheSumOfTheDuals) {
  const test::Quadratics problem(kWorkers, kElements, 1.0, 10.0);
  const std::vector<EdgeIntensity> edges = topology::equal_intensities(topology::grid(kWorkers));
  ContinuizedSimulation group(kWorkers, edges, 1.0, 10.0, kElements);
  PoissonClock clock(kWorkers, edges, 0.0, 5);
  const auto gradient = [&](Rank i, auto y, auto x) { problem.conjugate_gradient(i, y, x); };
  double size = 0.0;
  for (int event = 0; event < 2000; ++event) group.play(clock.next(), gradient);

  group.synchronize();
  double sum = 0.0;
  for (Rank i = 0; i < kWorkers; ++i) {
    sum += group.dual(i)[0];
    size += std::abs(group.dual(i)[0]);
  }
  EXPECT_NEAR(sum, 0.0, 1e-12 * size);
  EXPECT_GT(size, 1.0);
}

TEST(ContinuizedSimulation, RefusesWhatDoesNotFit) {
  const std::vector<EdgeIntensity> edges{{0, 1, 1.0}, {1, 2, 1.0}};
  expect_throw<Error>([&] { ContinuizedSimulation(3, edges, 0.0, 1.0, 1); },
                      {"mu is 0", "positive"});
  expect_throw<Error>([&] { ContinuizedSimulation(3, edges, 2.0, 1.0, 1); },
                      {"L is 1 and mu is 2"});
  expect_throw<Error>([&] { ContinuizedSimulation(4, edges, 1.0, 2.0, 1); }, {"connect all 4"});
  ContinuizedSimulation group(3, edges, 1.0, 2.0, 1);
  expect_throw<Error>(
      [&] {
        group.play({1.0, 2, Event::kNobody}, nullptr);
      },
      {"pair event along one of the edges"});
  expect_throw<Error>([&] { group.play({1.0, 2, 0}, nullptr); }, {"worker 2 and 0"});
}

}  // namespace
}  // namespace gossip::sim
