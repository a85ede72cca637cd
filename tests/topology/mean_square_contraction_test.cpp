// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <libgossip/topology/spectral.h>
#include <libgossip/topology/weights.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

constexpr double kTolerance = 1e-10;

const nlohmann::json& reference() {
  static const nlohmann::json json = test::read_reference("topology_constants.json");
  return json;
}

/// Averages the two ends of one edge of `graph` in each matrix.
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

TEST(MeanSquareContraction, IsTheReferences) {
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

TEST(MeanSquareContraction, OfAllPerfectMatchingsIsTheReferences) {
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

TEST(MeanSquareContraction, OfMatchingSamplingOnTheRingOfEightIsTheReferences) {
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

TEST(MeanSquareContraction, NeedsARound) {
  test::expect_error([] { (void)mean_square_contraction(ring(4), 0); }, {"at least 1"});
}

}  // namespace
}  // namespace gossip::topology
