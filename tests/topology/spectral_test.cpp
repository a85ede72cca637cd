// SPDX-License-Identifier: Apache-2.0
#include <cmath>

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

/// Averages the pairs `edges`, one in each matrix.
Schedule one_pair_a_round(int size, const Graph& graph) {
  std::vector<MixingMatrix> matrices;
  for (Rank a = 0; a < size; ++a) {
    for (const Rank b : graph.out_neighbors(a)) {
      if (a < b) matrices.push_back(metropolis(Graph::undirected(size, {{a, b}})));
    }
  }
  return {"pairs", std::move(matrices)};
}

/// (I + shift by o) / 2, o = 1..size-1.
Schedule one_offset_a_round(int size) {
  std::vector<MixingMatrix> matrices;
  for (int offset = 1; offset < size; ++offset) {
    std::vector<MixingMatrix::Entry> entries;
    for (Rank rank = 0; rank < size; ++rank) {
      entries.push_back({rank, rank, 0.5});
      entries.push_back({rank, (rank - offset + size) % size, 0.5});
    }
    matrices.emplace_back(size, entries);
  }
  return {"offsets", std::move(matrices)};
}

TEST(Spectral, MeanSquareContractionIsTheReferences) {
  for (const auto& [size_text, expected] : reference().at("expected_contraction_p").items()) {
    SCOPED_TRACE(size_text);
    const int size = std::stoi(size_text);
    const Schedule pairs = one_pair_a_round(size, complete(size));
    const Schedule ring_pairs = one_pair_a_round(size, ring(size));
    const Schedule offsets = one_offset_a_round(size);

    EXPECT_NEAR(mean_square_contraction(pairs, pairs.period()),
                expected.at("random_pair_complete").get<double>(), kTolerance);
    EXPECT_NEAR(mean_square_contraction(ring_pairs, ring_pairs.period()),
                expected.at("random_pair_ring").get<double>(), kTolerance);
    EXPECT_NEAR(mean_square_contraction(offsets, offsets.period()),
                expected.at("od_equidyn_full_eta_half").get<double>(), kTolerance);
  }
}

/// All perfect matchings of the ranks that `used` leaves.
void add_matchings(std::vector<Arc>& pairs, std::vector<bool>& used,
                   std::vector<MixingMatrix>& all) {
  const auto first = std::find(used.begin(), used.end(), false);
  if (first == used.end()) {
    all.push_back(metropolis(Graph::undirected(static_cast<int>(used.size()), pairs)));
    return;
  }
  const auto a = static_cast<std::size_t>(first - used.begin());
  used[a] = true;
  for (std::size_t b = a + 1; b < used.size(); ++b) {
    if (used[b]) continue;
    used[b] = true;
    pairs.push_back({static_cast<Rank>(a), static_cast<Rank>(b)});
    add_matchings(pairs, used, all);
    pairs.pop_back();
    used[b] = false;
  }
  used[a] = false;
}

TEST(Spectral, AllPerfectMatchingsTogetherContractAsTheReferenceSays) {
  for (const std::size_t size : {4U, 8U}) {
    std::vector<MixingMatrix> all;
    std::vector<Arc> pairs;
    std::vector<bool> used(size, false);
    add_matchings(pairs, used, all);
    const Schedule schedule("matchings", all);

    EXPECT_EQ(schedule.period(), size == 4 ? 3 : 105);
    EXPECT_NEAR(mean_square_contraction(schedule, schedule.period()),
                reference()
                    .at("expected_contraction_p")
                    .at(std::to_string(size))
                    .at("random_perfect_matching")
                    .get<double>(),
                kTolerance);
  }
}

TEST(Spectral, MatchingSamplingOnTheRingOfEightIsTheReferences) {
  for (const auto& [probability, expected] : reference().at("matching_sampling_ring8").items()) {
    // Each matching is active in `active` of 20 equally likely cases.
    const int active = static_cast<int>(std::lround(20.0 * std::stod(probability)));
    const double alpha = expected.at("alpha").get<double>();
    std::vector<MixingMatrix> matrices;
    for (int even = 0; even < 20; ++even) {
      for (int odd = 0; odd < 20; ++odd) {
        std::vector<Arc> edges;
        for (Rank rank = 0; rank < 8; ++rank) {
          if ((rank % 2 == 0 ? even : odd) < active) edges.push_back({rank, (rank + 1) % 8});
        }
        matrices.push_back(constant_edge_weights(Graph::undirected(8, edges), alpha));
      }
    }
    const Schedule schedule("matching sampling", matrices);

    EXPECT_NEAR(1.0 - mean_square_contraction(schedule, 400), expected.at("rho").get<double>(),
                kTolerance)
        << probability;
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

TEST(Spectral, ADisconnectedGraphDoesNotContract) {
  const Schedule schedule = Graph::undirected(4, {{0, 1}, {2, 3}});

  EXPECT_NEAR(spectral_constants(schedule.matrix(0)).rho, 1.0, kTolerance);
  EXPECT_NEAR(contraction_over_period(schedule), 1.0, kTolerance);
}

TEST(Spectral, NoRoundsDoNotContract) { EXPECT_NEAR(product_norm(ring(4), 0), 1.0, kTolerance); }

TEST(Spectral, RefusesAPeriodThatIsNone) {
  test::expect_error([] { (void)contraction_over_period(random_matching(4, 1)); },
                     {"random-matching", "never repeats"});
  test::expect_error([] { (void)mean_square_contraction(ring(4), 0); }, {"at least 1"});
}

}  // namespace
}  // namespace gossip::topology
