// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/algorithm/a2cid2.h>
#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/base/error.h>
#include <libgossip/sim/mean_square.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/second_moment.h>

namespace gossip::sim {
namespace {

using algorithm::A2CiD2;
using algorithm::a2cid2_constants;
using algorithm::ADPSGD;

constexpr double kInterval = 5.0;

std::vector<double> ramp(int size) {
  std::vector<double> values(static_cast<std::size_t>(size));
  std::iota(values.begin(), values.end(), 0.0);
  return values;
}

std::vector<double> simulated(const algorithm::PairAlgorithm& method, const topology::Graph& graph,
                              double until, std::uint64_t seed) {
  PairSimulation group(method, graph.size(), 1);
  PoissonClock clock(graph.size(), topology::equal_intensities(graph), 0.0, seed);
  return log_mean_squares(group, clock, ramp(graph.size()), until,
                          {.courses = 4000, .interval = kInterval, .seed = seed});
}

TEST(MeanSquare, OfAPopulationIsThatOfTheSecondMoments) {
  const auto graph = topology::ring(16);
  const auto constants = a2cid2_constants(graph);
  const std::vector<double> times{5.0, 10.0, 20.0, 40.0, 80.0};
  const auto exact = topology::mean_square_distances(
      ramp(16), topology::equal_intensities(graph),
      {constants.eta, constants.alpha, constants.alpha_tilde}, times);

  const auto values = simulated(A2CiD2(constants), graph, 80.0, 2);

  for (std::size_t k = 0; k < times.size(); ++k) {
    const auto step = static_cast<std::size_t>(times[k] / kInterval) - 1;
    // The standard deviation over seeds is 0.02 at t = 5 and 0.1 at t = 80.
    EXPECT_NEAR(values[step], std::log(exact[k]), 0.05 + 0.005 * times[k]) << times[k];
  }
}

/// Rates of decay between `from` and `until`: what one population of 4000 courses says, and the
/// second moments.
struct Rates {
  double simulated;
  double exact;
};

Rates rates_of(const algorithm::A2CiD2Constants& constants, const topology::Graph& graph,
               double from, double until, std::uint64_t seed) {
  std::vector<double> times;
  for (double time = from; time < until + 0.5 * kInterval; time += kInterval) times.push_back(time);
  std::vector<double> values = simulated(A2CiD2(constants), graph, until, seed);
  values.erase(values.begin(), values.end() - static_cast<std::ptrdiff_t>(times.size()));
  std::vector<double> exact = topology::mean_square_distances(
      ramp(graph.size()), topology::equal_intensities(graph),
      {constants.eta, constants.alpha, constants.alpha_tilde}, times);
  for (double& value : exact) value = std::log(value);
  return {-fitted_slope(times, values), -fitted_slope(times, exact)};
}

TEST(MeanSquare, FallsAtTheRatesOfTheSecondMoments) {
  struct Row {
    topology::Graph graph;
    double from;
    double until;
  };
  std::printf("| graph | AD-PSGD | exact | A2CiD2 | exact | gain |\n|---|---|---|---|---|---|\n");
  for (const Row& row :
       {Row{topology::complete(16), 5.0, 20.0}, Row{topology::hypercube(16), 10.0, 40.0},
        Row{topology::star(16), 10.0, 40.0}, Row{topology::grid(16), 20.0, 60.0},
        Row{topology::ring(16), 30.0, 90.0}, Row{topology::ring(32), 120.0, 240.0}}) {
    // Without flow and with equal alphas the second vector is a copy: AD-PSGD.
    const Rates plain = rates_of({}, row.graph, row.from, row.until, 4);
    const Rates fast = rates_of(a2cid2_constants(row.graph), row.graph, row.from, row.until, 4);
    std::printf("| %s of %d | %.5f | %.5f | %.5f | %.5f | %.2f |\n", row.graph.name().c_str(),
                row.graph.size(), plain.simulated, plain.exact, fast.simulated, fast.exact,
                fast.simulated / plain.simulated);

    EXPECT_NEAR(plain.simulated, plain.exact, 0.02 * plain.exact);
    EXPECT_NEAR(fast.simulated, fast.exact, 0.02 * fast.exact);
    if (row.graph.size() == 32) {
      EXPECT_NEAR(plain.simulated, 0.0191912431, 0.02 * 0.0191912431);
      EXPECT_NEAR(fast.simulated, 0.1068284752, 0.02 * 0.1068284752);
    }
  }
}

TEST(MeanSquare, OfACompleteGraphHasNoTailToMiss) {
  // The mean square of pairwise averaging of all with all falls by the same factor whatever x is.
  const auto graph = topology::complete(8);
  const double rate = topology::mean_square_rate(8, topology::equal_intensities(graph));
  const auto values = simulated(ADPSGD(), graph, 20.0, 1);

  for (std::size_t k = 0; k < values.size(); ++k) {
    const double time = kInterval * static_cast<double>(k + 1);
    EXPECT_NEAR(values[k], std::log(42.0) - rate * time, 0.1) << time;
  }
}

TEST(FittedSlope, IsThatOfALine) {
  EXPECT_NEAR(fitted_slope(std::vector<double>{1.0, 2.0, 4.0}, std::vector<double>{5.0, 3.0, -1.0}),
              -2.0, 1e-14);
  EXPECT_THROW((void)fitted_slope(std::vector<double>{1.0}, std::vector<double>{1.0}), Error);
}

}  // namespace
}  // namespace gossip::sim
