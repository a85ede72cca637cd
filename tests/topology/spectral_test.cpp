// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numbers>

#include <libgossip/topology/schedules.h>
#include <libgossip/topology/spectral.h>
#include <libgossip/topology/weights.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

using Rows = std::vector<std::vector<double>>;

constexpr double kTolerance = 1e-10;

const nlohmann::json& reference() {
  static const nlohmann::json json = test::read_reference("topology_constants.json");
  return json;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

MixingMatrix matrix_of(const std::string& family, int size) {
  const MixingMatrix plain = Schedule(test::reference_graph(family, size)).matrix(0);
  return ends_with(family, "_lazy") ? lazy(plain) : plain;
}

/// Compares with every constant that `expected` has.
void expect_constants(const MixingMatrix& matrix, const nlohmann::json& expected) {
  const SpectralConstants constants = spectral_constants(matrix);
  EXPECT_NEAR(constants.rho, expected.at("rho").get<double>(), kTolerance);
  EXPECT_NEAR(constants.gap, expected.at("gap").get<double>(), kTolerance);
  EXPECT_NEAR(constants.p, expected.at("p").get<double>(), kTolerance);
  EXPECT_EQ(constants.lambda2.has_value(), expected.at("symmetric").get<bool>());
  EXPECT_EQ(constants.lambda_min.has_value(), expected.at("symmetric").get<bool>());
  if (expected.contains("lambda2") && constants.lambda2) {
    EXPECT_NEAR(*constants.lambda2, expected.at("lambda2").get<double>(), kTolerance);
    EXPECT_NEAR(*constants.lambda_min, expected.at("lambda_min").get<double>(), kTolerance);
    EXPECT_NEAR(constants.lambda2_abs, constants.rho, kTolerance);
  }
  if (expected.contains("lambda2_abs")) {
    EXPECT_NEAR(constants.lambda2_abs, expected.at("lambda2_abs").get<double>(), kTolerance);
  }
}

TEST(Spectral, EveryFamilyHasTheReferencesConstants) {
  int num_compared = 0;
  for (const auto& [family, sizes] : reference().at("families").items()) {
    for (const auto& [size_text, expected] : sizes.items()) {
      SCOPED_TRACE(family + " of " + size_text);
      const int size = std::stoi(size_text);

      expect_constants(matrix_of(family, size), expected);
      EXPECT_EQ(test::reference_graph(family, size).max_degree(),
                expected.at("max_degree").get<int>());
      ++num_compared;
    }
  }
  EXPECT_EQ(num_compared, 65);
}

TEST(Spectral, TheIrregularGraphHasTheReferencesConstants) {
  const auto& expected = reference().at("graph8_irregular");
  std::vector<Arc> edges;
  for (const auto& edge : expected.at("edges"))
    edges.push_back({edge[0].get<Rank>(), edge[1].get<Rank>()});
  const Graph graph = Graph::undirected(8, edges);

  expect_constants(metropolis(graph), expected.at("metropolis"));
  expect_constants(lazy(metropolis(graph)), expected.at("lazy_metropolis"));
  expect_constants(max_degree_weights(graph), expected.at("max_degree_weights"));
  expect_constants(
      constant_edge_weights(graph, expected.at("best_constant").at("alpha").get<double>()),
      expected.at("best_constant"));
}

/// The symmetric matrix with the weights of "0-1": 0.25 and so on.
MixingMatrix matrix_of_edge_weights(const nlohmann::json& weights) {
  Rows rows(8, std::vector<double>(8, 0.0));
  for (std::size_t i = 0; i < 8; ++i) rows[i][i] = 1.0;
  for (const auto& [edge, weight] : weights.items()) {
    const auto i = static_cast<std::size_t>(edge.front() - '0');
    const auto j = static_cast<std::size_t>(edge.back() - '0');
    rows[i][j] = rows[j][i] = weight.get<double>();
    rows[i][i] -= weight.get<double>();
    rows[j][j] -= weight.get<double>();
  }
  return MixingMatrix(rows);
}

TEST(Spectral, OptimizedWeightsReachTheReferencesBound) {
  for (const char* const kind : {"fmmc", "fdla"}) {
    const auto& expected = reference().at("graph8_irregular").at(kind);

    const double rho =
        spectral_constants(matrix_of_edge_weights(expected.at("edge_weights_approx"))).rho;

    EXPECT_NEAR(rho, expected.at("rho_upper").get<double>(), 1e-8) << kind;
    EXPECT_GE(rho, expected.at("rho_lower").get<double>() - kTolerance) << kind;
  }
}

TEST(Spectral, OnePeerExponentialProductsHaveTheReferencesNorms) {
  for (const auto& [size, norms] : reference().at("one_peer_exponential_product_norm").items()) {
    const Schedule schedule = one_peer_exponential(std::stoi(size));
    int rounds = 0;
    for (const auto& norm : norms) {
      ++rounds;
      EXPECT_NEAR(product_norm(schedule, rounds), norm.get<double>(), kTolerance)
          << size << ", " << rounds;
    }
    EXPECT_NEAR(contraction_over_period(schedule), 0.0, kTolerance);
  }
}

TEST(Spectral, OnePeerExponentialContractsOverAPeriodByItsClosedForm) {
  for (int size = 2; size <= 64; ++size) {
    // The product is circulant: offsets 0..m-1 (mod size) with weight 1/m each, m = 2^period.
    const Schedule schedule = one_peer_exponential(size);
    const double m = std::ldexp(1.0, schedule.period());
    double expected = 0.0;
    for (int k = 1; k < size; ++k) {
      const double angle = std::numbers::pi * k / size;
      expected = std::max(expected, std::abs(std::sin(m * angle) / (m * std::sin(angle))));
    }

    EXPECT_NEAR(contraction_over_period(schedule), expected, kTolerance) << size;
  }
}

TEST(Spectral, FiniteTimeSequencesGiveTheExactAverage) {
  for (const auto& [name, matrices] :
       reference().at("finite_time_base_graphs").at("examples").items()) {
    std::vector<MixingMatrix> sequence;
    for (const auto& rows : matrices) sequence.emplace_back(rows.get<Rows>());
    const Schedule schedule(name, sequence);

    EXPECT_NEAR(contraction_over_period(schedule), 0.0, 1e-12) << name;
    EXPECT_GT(product_norm(schedule, schedule.period() - 1), 0.01) << name;
  }
}

TEST(Spectral, OneRankIsItsOwnAverage) {
  const SpectralConstants constants = spectral_constants(MixingMatrix(Rows{{1.0}}));

  EXPECT_EQ(constants.rho, 0.0);
  EXPECT_EQ(constants.gap, 1.0);
  EXPECT_EQ(constants.p, 1.0);
  EXPECT_EQ(constants.lambda2, 0.0);
  EXPECT_EQ(constants.lambda_min, 1.0);
  EXPECT_EQ(constants.lambda2_abs, 0.0);
}

TEST(Spectral, RhoAndLambda2DifferWithoutSymmetry) {
  // W - J = {{1/2, -1/2}, {0, 0}}.
  const SpectralConstants constants = spectral_constants(MixingMatrix(Rows{{1, 0}, {0.5, 0.5}}));

  EXPECT_NEAR(constants.rho, std::sqrt(0.5), kTolerance);
  EXPECT_NEAR(constants.lambda2_abs, 0.5, kTolerance);
  EXPECT_FALSE(constants.lambda2);
}

TEST(Spectral, ADisconnectedGraphDoesNotContract) {
  const Schedule schedule = Graph::undirected(4, {{0, 1}, {2, 3}});

  EXPECT_NEAR(spectral_constants(schedule.matrix(0)).rho, 1.0, kTolerance);
  EXPECT_NEAR(contraction_over_period(schedule), 1.0, kTolerance);
}

TEST(Spectral, NoRoundsDoNotContract) { EXPECT_NEAR(product_norm(ring(4), 0), 1.0, kTolerance); }

TEST(Spectral, RefusesAPeriodThatIsNone) {
  test::expect_error([] { (void)contraction_over_period(random_matching(4, 1)); },
                     {"random-matching", "never repeats"});
}

/// The eigenvalues of a graph product's Laplacian are the sums of those of the factors: of a ring
/// 2 - 2 cos(2 pi k / n), of a path 2 - 2 cos(pi k / n).
TEST(Spectral, GridsAndToriHaveTheEigenvaluesOfTheirSides) {
  const auto largest_of_ring = [](int n) {
    return n % 2 == 0 ? 4.0 : 2.0 + 2.0 * std::cos(std::numbers::pi / n);
  };
  for (const std::vector<int>& sides : std::vector<std::vector<int>>{{4, 8}, {3, 5}, {3, 4, 5}}) {
    const int longest = *std::ranges::max_element(sides);
    double largest_of_torus = 0.0;
    double largest_of_grid = 0.0;
    for (const int n : sides) {
      largest_of_torus += largest_of_ring(n);
      largest_of_grid += 2.0 + 2.0 * std::cos(std::numbers::pi / n);
    }
    const double lambda2_of_torus = 2.0 - 2.0 * std::cos(2.0 * std::numbers::pi / longest);

    const Graph torus = torus_of(sides);
    SCOPED_TRACE(torus.name());
    EXPECT_NEAR(laplacian_spectrum(torus).lambda2, lambda2_of_torus, kTolerance);
    EXPECT_NEAR(laplacian_spectrum(torus).lambda_max, largest_of_torus, kTolerance);
    EXPECT_NEAR(laplacian_spectrum(grid_of(sides)).lambda2,
                2.0 - 2.0 * std::cos(std::numbers::pi / longest), kTolerance);
    EXPECT_NEAR(laplacian_spectrum(grid_of(sides)).lambda_max, largest_of_grid, kTolerance);
    // All ranks of the torus have as many neighbors: W = I - L / (degree + 1).
    const double share = 1.0 / (1.0 + 2.0 * static_cast<double>(sides.size()));
    EXPECT_NEAR(*spectral_constants(metropolis(torus)).lambda2, 1.0 - share * lambda2_of_torus,
                kTolerance);
  }
}

}  // namespace
}  // namespace gossip::topology
