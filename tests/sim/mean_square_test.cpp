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

/// The rate of decay that is fitted between t = 120 and 240.
double fitted_rate(const std::vector<double>& log_mean_squares) {
  std::vector<double> times;
  std::vector<double> values;
  for (std::size_t k = 23; k < log_mean_squares.size(); ++k) {
    times.push_back(kInterval * static_cast<double>(k + 1));
    values.push_back(log_mean_squares[k]);
  }
  EXPECT_EQ(times.front(), 120.0);
  EXPECT_EQ(times.back(), 240.0);
  return -fitted_slope(times, values);
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

TEST(MeanSquare, RatesOfARingOf32AreThoseOfTheSecondMoments) {
  const auto graph = topology::ring(32);
  const auto edges = topology::equal_intensities(graph);
  const auto constants = a2cid2_constants(graph);
  const double exact_plain = topology::mean_square_rate(32, edges);
  const double exact_fast = topology::mean_square_rate(
      32, edges, {constants.eta, constants.alpha, constants.alpha_tilde});

  std::printf("ring of 32, 4000 courses     AD-PSGD   A2CiD2    ratio\n");
  std::printf("second moments               %.6f  %.6f  %.3f\n", exact_plain, exact_fast,
              exact_fast / exact_plain);
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    const double plain = fitted_rate(simulated(ADPSGD(), graph, 240.0, seed));
    const double fast = fitted_rate(simulated(A2CiD2(constants), graph, 240.0, seed));
    std::printf("simulated with seed %ju        %.6f  %.6f  %.3f\n", static_cast<uintmax_t>(seed),
                plain, fast, fast / plain);

    EXPECT_NEAR(plain, 0.0191912431, 0.02 * 0.0191912431);
    EXPECT_NEAR(fast, 0.1068284752, 0.02 * 0.1068284752);
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
