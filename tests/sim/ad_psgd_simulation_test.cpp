// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/sim/ad_psgd_simulation.h>
#include <libgossip/topology/families.h>

#include "sim_test_support.h"

namespace gossip::sim {
namespace {

PairSimulation::LocalStep steps_of(const test::Quadratics& problem, double gamma) {
  return [&problem, gamma](Rank i, std::span<const double> x, std::span<double> increment) {
    problem.gradient_step(i, x, gamma, increment);
  };
}

TEST(ADPSGDSimulation, FollowsTheGoldenTrajectory) {
  const test::Quadratics problem(4, 4, 1.0, 10.0);
  ADPSGDSimulation group(topology::ring(4), 4, 42);
  const auto step = steps_of(problem, 0.05);

  for (int event = 0; event < 1000; ++event) group.step(step);

  const std::vector<double> expected{-0.40453602744176, 0.44885170289885, 0.042711613028226,
                                     -0.3199570610982};
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(group.model(0)[k], expected[k], 1e-10) << k;
}

TEST(ADPSGDSimulation, HasTheStationaryErrors) {
  struct Row {
    topology::Graph graph;
    double gamma;
    double error;
    double uncertainty;
  };
  const test::Quadratics problem(16, 4, 1.0, 10.0);
  for (const Row& row : {Row{topology::ring(16), 0.05, 0.2710, 0.001},
                         Row{topology::ring(16), 0.01, 0.03457, 0.0003},
                         Row{topology::complete(16), 0.05, 0.1481, 0.0005},
                         Row{topology::complete(16), 0.01, 0.01401, 0.0002}}) {
    SCOPED_TRACE(testing::Message() << row.graph.name() << ' ' << row.gamma);
    const auto step = steps_of(problem, row.gamma);
    constexpr int kSeeds = 6;
    constexpr int kSamples = 20000;
    double error = 0.0;
    double of_mean = 0.0;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      ADPSGDSimulation group(row.graph, 4, seed);
      for (int event = 0; event < 40000; ++event) group.step(step);
      for (int sample = 0; sample < kSamples; ++sample) {
        for (int event = 0; event < 4; ++event) group.step(step);
        const auto now = test::errors_of(group, problem);
        error += now.first / kSamples / kSeeds;
        of_mean += now.second / kSamples / kSeeds;
      }
    }

    EXPECT_NEAR(error, row.error, 2.0 * row.uncertainty);
    EXPECT_LT(of_mean, error);
    if (row.gamma == 0.05 && row.graph.name() == "ring") {
      EXPECT_NEAR(of_mean, 0.0129, 0.0006);
    }
  }
}

TEST(ADPSGDSimulation, RefusesGraphsWithoutPairs) {
  EXPECT_THROW(ADPSGDSimulation(topology::directed_ring(4), 1, 1), Error);
  EXPECT_THROW(ADPSGDSimulation(topology::ring(1), 1, 1), Error);
}

}  // namespace
}  // namespace gossip::sim
