// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <numbers>

#include <libgossip/topology/spectral.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

/// cos(angle_in_pi * pi).
double cos_pi(double angle_in_pi) { return std::cos(angle_in_pi * std::numbers::pi); }

void expect_chi(const Chi& chi, double chi1, double chi2, const char* graph, int size) {
  EXPECT_NEAR(chi.chi1, chi1, 1e-9 * chi1) << graph << " of " << size;
  EXPECT_NEAR(chi.chi2, chi2, 1e-9 * chi2) << graph << " of " << size;
}

TEST(Chi, PerWorkerHasItsClosedForms) {
  for (int n = 3; n <= 64; ++n) {
    const double chi2 = (n - 1.0) / n;
    expect_chi(chi_per_worker(ring(n)), 1.0 / (1.0 - cos_pi(2.0 / n)), chi2, "ring", n);
    expect_chi(chi_per_worker(complete(n)), chi2, chi2, "complete", n);
  }
}

TEST(Chi, EdgeProbabilityHasItsClosedForms) {
  for (int n = 3; n <= 64; ++n) {
    const double chi2 = (n - 1.0) / 2.0;
    expect_chi(chi_edge_probability(star(n)), n - 1.0, chi2, "star", n);
    expect_chi(chi_edge_probability(complete(n)), chi2, chi2, "complete", n);
    expect_chi(chi_edge_probability(ring(n)), n / (2.0 * (1.0 - cos_pi(2.0 / n))), chi2, "ring", n);
    expect_chi(chi_edge_probability(path(n)), (n - 1.0) / (2.0 * (1.0 - cos_pi(1.0 / n))), chi2,
               "path", n);
    EXPECT_NEAR(chi_edge_probability(binary_tree(n)).chi2, chi2, 1e-9 * chi2);
  }
  for (const int n : {4, 8, 16, 32, 64}) {
    EXPECT_NEAR(chi_edge_probability(hypercube(n)).chi2, (n - 1.0) / 2.0, 1e-8);
  }
}

TEST(Chi, TwoRanksAreOneEdge) {
  expect_chi(chi_per_worker(path(2)), 0.5, 0.5, "path", 2);
  expect_chi(chi_edge_probability(path(2)), 0.5, 0.5, "path", 2);
}

/// The exponential graph with multiplicity: i + n/2 and i - n/2 are two events.
Chi chi_of_multiple_exponential(int size) {
  std::vector<EdgeIntensity> edges;
  const double intensity = 1.0 / (2.0 * ceil_log2(size));
  for (Rank rank = 0; rank < size; ++rank) {
    for (int offset = 1; offset < size; offset *= 2) {
      edges.push_back({rank, (rank + offset) % size, intensity});
    }
  }
  return chi(size, edges);
}

TEST(Chi, HasTheTabulatedValues) {
  struct Row {
    const char* name;
    Chi chi;
    double chi1;
    double chi2;
  };
  const std::vector<Row> table{
      {"complete 16", chi_per_worker(complete(16)), 0.93750, 0.93750},
      {"exponential 8", chi_of_multiple_exponential(8), 1.50000, 0.96371},
      {"exponential 16", chi_of_multiple_exponential(16), 2.00000, 1.00966},
      {"exponential 32", chi_of_multiple_exponential(32), 2.50000, 1.02294},
      {"exponential 64", chi_of_multiple_exponential(64), 3.00000, 1.02408},
      {"hypercube 16", chi_per_worker(hypercube(16)), 2.00000, 0.93750},
      {"ring 8", chi_per_worker(ring(8)), 3.41421, 0.87500},
      {"ring 64", chi_per_worker(ring(64)), 207.67253, 0.98438},
      {"path 8", chi_per_worker(path(8)), 11.49494, 0.87500},
      {"path 16", chi_per_worker(path(16)), 48.79072, 0.93750},
      {"path 32", chi_per_worker(path(32)), 201.18276, 0.96875},
      {"star 8", chi_per_worker(star(8)), 1.75000, 0.87500},
      {"star 16", chi_per_worker(star(16)), 1.87500, 0.93750},
      {"grid 16", chi_per_worker(grid(16)), 5.12132, 1.05134},
  };

  for (const Row& row : table) {
    EXPECT_NEAR(row.chi.chi1, row.chi1, 6e-6) << row.name;
    EXPECT_NEAR(row.chi.chi2, row.chi2, 6e-6) << row.name;
  }
}

TEST(Chi, ScalesWithTheIntensities) {
  const Chi once = chi(3, {{0, 1, 1.0}, {1, 2, 2.0}});
  const Chi twice = chi(3, {{0, 1, 2.0}, {1, 2, 4.0}});

  EXPECT_NEAR(twice.chi1, once.chi1 / 2.0, 1e-12);
  EXPECT_NEAR(twice.chi2, once.chi2 / 2.0, 1e-12);
  EXPECT_NEAR(once.chi2, 0.5, 1e-12);  // the resistance of the edge of intensity 1 is 1
}

TEST(Chi, Chi2IsNeverAboveChi1) {
  for (int n = 2; n <= 64; ++n) {
    for (const Graph& graph : {grid(n), torus(n), binary_tree(n), symmetric_exponential(n)}) {
      const Chi constants = chi_per_worker(graph);
      EXPECT_LE(constants.chi2, constants.chi1 * (1.0 + 1e-12)) << graph.name() << n;
    }
  }
}

TEST(EffectiveResistances, AreThoseOfElectricalNetworks) {
  // The edge of conductance 3 beside two of 1 in a row, and the other way around.
  const std::vector<double> triangle =
      effective_resistances(3, {{0, 1, 3.0}, {0, 2, 1.0}, {1, 2, 1.0}});
  EXPECT_NEAR(triangle[0], 1.0 / 3.5, 1e-14);
  EXPECT_NEAR(triangle[1], 1.0 / 1.75, 1e-14);
  EXPECT_NEAR(triangle[2], 1.0 / 1.75, 1e-14);
  test::expect_error([] { (void)effective_resistances(3, {{0, 1, 1.0}}); }, {"connect all 3"});
}

TEST(LaplacianSpectrum, HasItsClosedForms) {
  for (int n = 3; n <= 64; ++n) {
    const LaplacianSpectrum line = laplacian_spectrum(path(n));
    EXPECT_NEAR(line.lambda2, 2.0 - 2.0 * cos_pi(1.0 / n), 1e-12) << n;
    EXPECT_NEAR(line.lambda_max, 2.0 + 2.0 * cos_pi(1.0 / n), 1e-12) << n;
    EXPECT_NEAR(laplacian_spectrum(star(n)).chi(), n, 1e-11 * n);
    EXPECT_NEAR(laplacian_spectrum(complete(n)).chi(), 1.0, 1e-12);
    EXPECT_GE(laplacian_spectrum(complete(n)).chi(), 1.0);
  }
  EXPECT_NEAR(laplacian_spectrum(ring(16)).chi(), 4.0 / (2.0 - 2.0 * cos_pi(0.125)), 1e-10);
}

TEST(LaplacianSpectrum, RefusesWhatHasNone) {
  test::expect_error([] { (void)laplacian_spectrum(ring(1)); }, {"ring", "at least 2 ranks"});
  test::expect_error([] { (void)laplacian_spectrum(directed_ring(3)); }, {"undirected"});
  test::expect_error(
      [] {
        (void)laplacian_spectrum(Graph::undirected(4, {{0, 1}, {2, 3}}, "mine"));
      },
      {"mine", "connect"});
}

TEST(Chi, RefusesWhatHasNone) {
  test::expect_error([] { (void)chi_per_worker(ring(1)); }, {"ring", "at least 2 ranks"});
  test::expect_error([] { (void)chi_edge_probability(directed_ring(3)); }, {"undirected"});
  test::expect_error(
      [] {
        (void)chi_per_worker(Graph::undirected(4, {{0, 1}, {2, 3}}, "mine"));
      },
      {"mine", "connect"});
  test::expect_error([] { (void)chi(1, {}); }, {"at least 2 ranks"});
  test::expect_error([] { (void)chi(3, {{0, 1, 1.0}}); }, {"connect all 3"});
  test::expect_error([] { (void)chi(2, {{0, 1, 0.0}}); }, {"0 - 1", "intensity 0"});
  test::expect_error([] { (void)chi(2, {{0, 2, 1.0}}); }, {"0 - 2"});
  test::expect_error([] { (void)chi(2, {{1, 1, 1.0}}); }, {"1 - 1"});
}

}  // namespace
}  // namespace gossip::topology
