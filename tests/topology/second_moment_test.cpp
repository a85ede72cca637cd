// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <numeric>

#include <libgossip/topology/second_moment.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

/// The constants of A2CiD2 for these intensities.
PairDynamics accelerated(int size, const std::vector<EdgeIntensity>& edges) {
  const Chi constants = chi(size, edges);
  return {.eta = 0.5 / std::sqrt(constants.chi1 * constants.chi2),
          .alpha = 0.5,
          .alpha_tilde = 0.5 * std::sqrt(constants.chi1 / constants.chi2)};
}

/// The exponential graph with multiplicity: i + n/2 and i - n/2 are two edges.
std::vector<EdgeIntensity> multiple_exponential(int size) {
  std::vector<EdgeIntensity> edges;
  for (Rank rank = 0; rank < size; ++rank) {
    for (int offset = 1; offset < size; offset *= 2) {
      edges.push_back({rank, (rank + offset) % size, 0.5 / ceil_log2(size)});
    }
  }
  return edges;
}

TEST(MeanSquareRate, HasTheTabulatedValues) {
  struct Row {
    const char* name;
    int size;
    std::vector<EdgeIntensity> edges;
    double plain;
    double accelerated;
  };
  const auto row = [](const char* name, const Graph& graph, double plain, double fast) {
    return Row{name, graph.size(), equal_intensities(graph), plain, fast};
  };
  const std::vector<Row> table{
      row("complete", complete(16), 0.5333333333, 0.5333333333),
      {"exponential", 8, multiple_exponential(8), 0.5053671022, 0.5177753293},
      {"exponential", 16, multiple_exponential(16), 0.4370345723, 0.4673534957},
      {"exponential", 32, multiple_exponential(32), 0.3780071385, 0.4381088627},
      row("hypercube", hypercube(16), 0.4096437466, 0.4399294484),
      row("ring", ring(8), 0.2680557356, 0.3598641120),
      row("ring", ring(16), 0.0753510967, 0.1985505075),
      row("ring", ring(32), 0.0191912431, 0.1068284752),
      row("ring", ring(64), 0.0048145454, 0.0567018081),
      row("path", path(8), 0.0857229452, 0.2160648778),
      row("path", path(16), 0.0204585500, 0.1107585633),
      row("path", path(32), 0.0049694810, 0.0575202911),
      row("star", star(8), 0.3932927477, 0.4220559670),
      row("star", star(16), 0.3608670921, 0.3882535249),
      row("grid", grid(16), 0.1891738445, 0.3086442229),
  };

  for (const Row& r : table) {
    const double plain = mean_square_rate(r.size, r.edges);
    const double fast = mean_square_rate(r.size, r.edges, accelerated(r.size, r.edges));
    EXPECT_NEAR(plain, r.plain, 1e-9) << r.name << " of " << r.size;
    EXPECT_NEAR(fast, r.accelerated, 1e-9) << r.name << " of " << r.size;
  }
}

TEST(MeanSquareRate, IsAtLeastWhatIsGuaranteed) {
  for (const Graph& graph : {ring(12), torus(12), binary_tree(12), star(12)}) {
    const auto edges = equal_intensities(graph);
    const PairDynamics dynamics = accelerated(12, edges);
    EXPECT_GE(mean_square_rate(12, edges), 0.5 / chi(12, edges).chi1) << graph.name();
    EXPECT_GE(mean_square_rate(12, edges, dynamics), dynamics.eta) << graph.name();
  }
}

TEST(MeanSquareRate, ScalesWithTime) {
  const auto once = equal_intensities(ring(10));
  const auto thrice = equal_intensities(ring(10), 3.0);

  EXPECT_NEAR(mean_square_rate(10, thrice, accelerated(10, thrice)),
              3.0 * mean_square_rate(10, once, accelerated(10, once)), 1e-10);
}

TEST(MeanSquareRate, IsNegativeWhenTheMomentumIsTooStrong) {
  const auto edges = equal_intensities(ring(16));
  PairDynamics dynamics = accelerated(16, edges);
  dynamics.eta *= 4.0;
  dynamics.alpha_tilde *= 4.0;

  EXPECT_LT(mean_square_rate(16, edges, dynamics), 0.0);
}

TEST(MeanSquareDistances, HaveTheTabulatedValues) {
  struct Row {
    Graph graph;
    bool accelerated;
    std::vector<double> values;
  };
  const std::vector<double> times{2, 5, 10, 20, 40};
  const std::vector<Row> table{
      {ring(16), false, {0.73476260, 0.51812357, 0.32787549, 0.14876604, 3.2786963e-2}},
      {ring(16), true, {0.72501576, 0.45134002, 0.19134019, 2.7986506e-2, 5.1917002e-4}},
      {path(16), false, {0.96722720, 0.90991914, 0.81997559, 0.66728895, 0.44311155}},
      {path(16), true, {0.95912590, 0.84964955, 0.62788612, 0.27368990, 3.5167544e-2}},
      {star(16), false, {0.43591341, 0.14764955, 2.4300723e-2, 6.5825372e-4, 4.829938e-7}},
      {star(16), true, {0.43211040, 0.13634637, 1.9585675e-2, 4.0343825e-4, 1.711787e-7}},
      {complete(16), false, {0.34415379, 6.9483451e-2, 4.8279500e-3, 2.3309101e-5, 5.433142e-10}},
      {complete(16), true, {0.34415379, 6.9483451e-2, 4.8279500e-3, 2.3309101e-5, 5.433142e-10}},
  };
  std::vector<double> start(16);
  std::iota(start.begin(), start.end(), 0.0);
  constexpr double kStartSquare = 340.0;

  for (const Row& row : table) {
    const auto edges = equal_intensities(row.graph);
    const PairDynamics dynamics = row.accelerated ? accelerated(16, edges) : PairDynamics{};
    const auto distances = mean_square_distances(start, edges, dynamics, times);
    for (std::size_t k = 0; k < times.size(); ++k) {
      // The table has at least 7 digits.
      EXPECT_NEAR(distances[k] / kStartSquare, row.values[k], 4e-7 * row.values[k])
          << row.graph.name() << " at " << times[k];
    }
  }
}

TEST(MeanSquareDistances, FallAtTheRateInTheEnd) {
  const auto edges = equal_intensities(grid(12));
  const PairDynamics dynamics = accelerated(12, edges);
  std::vector<double> start(12, 0.0);
  start[0] = 1.0;

  const auto distances =
      mean_square_distances(start, edges, dynamics, std::vector<double>{200.0, 210.0});

  EXPECT_NEAR(std::log(distances[0] / distances[1]) / 10.0, mean_square_rate(12, edges, dynamics),
              1e-9);
}

TEST(StationaryNoise, HasTheTabulatedValues) {
  struct Row {
    const char* name;
    int size;
    std::vector<EdgeIntensity> edges;
    double plain;
    double accelerated;
  };
  const std::vector<Row> table{
      {"ring", 16, equal_intensities(ring(16)), 3.5351562500, 3.3256098917},
      {"ring", 32, equal_intensities(ring(32)), 6.2666015625, 5.5518085446},
      {"path", 32, equal_intensities(path(32)), 11.26171875, 9.3456694070},
      {"exponential", 32, multiple_exponential(32), 1.9865196832, 2.0352064742},
  };

  for (const Row& row : table) {
    EXPECT_NEAR(stationary_noise(row.size, row.edges), row.plain, 1e-8) << row.name;
    EXPECT_NEAR(stationary_noise(row.size, row.edges, accelerated(row.size, row.edges)),
                row.accelerated, 1e-8)
        << row.name;
  }
}

TEST(EqualIntensities, GiveEveryRankItsRate) {
  const auto edges = equal_intensities(star(5), 2.0);

  ASSERT_EQ(edges.size(), 4U);
  EXPECT_NEAR(edges[0].intensity, 1.25, 1e-15);  // 5 * 2 / 2 events over 4 edges
  EXPECT_EQ(edges[3].a, 0);
  EXPECT_EQ(edges[3].b, 4);
  EXPECT_TRUE(equal_intensities(ring(1)).empty());
}

TEST(SecondMoments, RefuseWhatHasNone) {
  test::expect_error([] { (void)equal_intensities(directed_ring(3)); }, {"directed-ring"});
  test::expect_error([] { (void)equal_intensities(ring(3), -1.0); }, {"-1"});
  test::expect_error([] { (void)mean_square_rate(4, {{0, 1, 1.0}, {2, 3, 1.0}}); }, {"connect"});
  const std::vector<double> start{0.0, 1.0};
  test::expect_error(
      [&] {
        (void)mean_square_distances(start, {{0, 1, 1.0}}, {}, std::vector<double>{2.0, 1.0});
      },
      {"1", "2", "decrease"});
  test::expect_error(
      [] {
        const auto edges = equal_intensities(ring(16));
        PairDynamics dynamics = accelerated(16, edges);
        dynamics.eta *= 4.0;
        dynamics.alpha_tilde *= 4.0;
        (void)stationary_noise(16, edges, dynamics);
      },
      {"grow"});
}

}  // namespace
}  // namespace gossip::topology
