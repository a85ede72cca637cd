// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

#include <libgossip/topology/factory.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

using Ranks = std::vector<Rank>;

const std::vector<std::string> kFamilies{"ring",
                                         "directed-ring",
                                         "path",
                                         "star",
                                         "complete",
                                         "grid",
                                         "torus",
                                         "binary-tree",
                                         "static-exponential",
                                         "symmetric-exponential",
                                         "random-regular"};

void expect_transposed_and_sorted(const Graph& graph) {
  for (Rank rank = 0; rank < graph.size(); ++rank) {
    const auto& in = graph.in_neighbors(rank);
    const auto& out = graph.out_neighbors(rank);
    EXPECT_TRUE(std::adjacent_find(in.begin(), in.end(), std::greater_equal<>()) == in.end());
    EXPECT_TRUE(std::adjacent_find(out.begin(), out.end(), std::greater_equal<>()) == out.end());
    for (const Rank sender : in) {
      const auto& back = graph.out_neighbors(sender);
      EXPECT_TRUE(std::binary_search(back.begin(), back.end(), rank));
      EXPECT_NE(sender, rank);
    }
    for (const Rank receiver : out) {
      const auto& back = graph.in_neighbors(receiver);
      EXPECT_TRUE(std::binary_search(back.begin(), back.end(), rank));
    }
  }
}

TEST(Families, HoldTheirPropertiesForAllSizes) {
  for (const auto& family : kFamilies) {
    for (int size = 1; size <= 64; ++size) {
      SCOPED_TRACE(family + " of " + std::to_string(size));
      const Graph graph = make_graph(family, size, 7);

      EXPECT_EQ(graph.size(), size);
      EXPECT_EQ(graph.name(), family);
      EXPECT_TRUE(graph.is_strongly_connected());
      EXPECT_EQ(graph.is_undirected(),
                size <= 2 || (family == "static-exponential" && size == 3) ||
                    (family != "directed-ring" && family != "static-exponential"));
      expect_transposed_and_sorted(graph);
    }
  }
}

TEST(Families, HaveTheirNumbersOfArcs) {
  for (int size = 3; size <= 64; ++size) {
    SCOPED_TRACE(size);
    EXPECT_EQ(ring(size).num_arcs(), 2 * size);
    EXPECT_EQ(directed_ring(size).num_arcs(), size);
    EXPECT_EQ(path(size).num_arcs(), 2 * (size - 1));
    EXPECT_EQ(star(size).num_arcs(), 2 * (size - 1));
    EXPECT_EQ(complete(size).num_arcs(), size * (size - 1));
    EXPECT_EQ(binary_tree(size).num_arcs(), 2 * (size - 1));
    EXPECT_EQ(static_exponential(size).num_arcs(), size * ceil_log2(size));
  }
}

TEST(Families, OneRankHasNoNeighbors) {
  for (const auto& family : kFamilies) EXPECT_EQ(make_graph(family, 1).num_arcs(), 0) << family;
  EXPECT_EQ(hypercube(1).num_arcs(), 0);
}

TEST(Families, TwoRanksAreOneEdge) {
  for (const auto& family : kFamilies) {
    const Graph graph = make_graph(family, 2);
    EXPECT_EQ(graph.in_neighbors(0), Ranks{1}) << family;
    EXPECT_EQ(graph.in_neighbors(1), Ranks{0}) << family;
  }
}

TEST(Families, NeighborsAreTheDocumentedOnes) {
  EXPECT_EQ(ring(5).in_neighbors(0), (Ranks{1, 4}));
  EXPECT_EQ(directed_ring(5).in_neighbors(0), (Ranks{4}));
  EXPECT_EQ(directed_ring(5).out_neighbors(0), (Ranks{1}));
  EXPECT_EQ(path(5).in_neighbors(0), (Ranks{1}));
  EXPECT_EQ(star(4).in_neighbors(0), (Ranks{1, 2, 3}));
  EXPECT_EQ(star(4).in_neighbors(2), (Ranks{0}));
  EXPECT_EQ(binary_tree(7).in_neighbors(1), (Ranks{0, 3, 4}));
  EXPECT_EQ(hypercube(8).in_neighbors(5), (Ranks{1, 4, 7}));
  EXPECT_EQ(static_exponential(8).in_neighbors(0), (Ranks{4, 6, 7}));
  EXPECT_EQ(static_exponential(8).out_neighbors(0), (Ranks{1, 2, 4}));
  EXPECT_EQ(static_exponential(5).in_neighbors(0), (Ranks{1, 3, 4}));
  EXPECT_EQ(symmetric_exponential(8).in_neighbors(0), (Ranks{1, 2, 4, 6, 7}));
}

TEST(Families, GridAndTorusUseTheMostSquareRectangle) {
  EXPECT_EQ(grid(6).in_neighbors(4), (Ranks{1, 3, 5}));  // 2 rows, 3 columns
  EXPECT_EQ(torus(12).in_neighbors(0), (Ranks{1, 3, 4, 8}));
  EXPECT_EQ(torus(8).max_degree(), 3);
  EXPECT_EQ(torus(4).max_degree(), 2);
  for (const int prime : {3, 5, 7, 13, 61}) {
    for (Rank rank = 0; rank < prime; ++rank) {
      EXPECT_EQ(grid(prime).in_neighbors(rank), path(prime).in_neighbors(rank));
      EXPECT_EQ(torus(prime).in_neighbors(rank), ring(prime).in_neighbors(rank));
    }
  }
}

TEST(Families, GridsAndToriTakeTheirSides) {
  EXPECT_EQ(grid_of({3, 2}).in_neighbors(2), (Ranks{0, 3, 4}));
  EXPECT_EQ(torus_of({4, 8}).in_neighbors(0), (Ranks{1, 7, 8, 24}));
  EXPECT_EQ(torus_of({2, 3, 4}).in_neighbors(0), (Ranks{1, 3, 4, 8, 12}));
  EXPECT_EQ(grid_of({2, 3, 4}).in_neighbors(23), (Ranks{11, 19, 22}));
  EXPECT_EQ(torus_of({2, 3, 4}).name(), "torus:2x3x4");
  EXPECT_EQ(grid_of({3, 5}).name(), "grid:3x5");
  for (Rank rank = 0; rank < 12; ++rank) {
    EXPECT_EQ(grid_of({3, 4}).in_neighbors(rank), grid(12).in_neighbors(rank));
    EXPECT_EQ(torus_of({3, 4}).in_neighbors(rank), torus(12).in_neighbors(rank));
    EXPECT_EQ(torus_of({1, 12}).in_neighbors(rank), ring(12).in_neighbors(rank));
    EXPECT_EQ(grid_of({12}).in_neighbors(rank), path(12).in_neighbors(rank));
    EXPECT_EQ(torus_of({12, 1, 1}).in_neighbors(rank), ring(12).in_neighbors(rank));
  }
  EXPECT_EQ(torus_of({1, 1}).num_arcs(), 0);
}

TEST(Families, RefuseSidesThatAreNone) {
  test::expect_error([] { (void)grid_of({}); }, {"grid", "at least one side"});
  test::expect_error([] { (void)torus_of({4, 0}); }, {"torus:4x0", "side of 0"});
  test::expect_error([] { (void)torus_of({-2, -4}); }, {"torus:-2x-4", "side of -2"});
  test::expect_error([] { (void)grid_of({65536, 65536}); }, {"grid:65536x65536", "more ranks"});
}

TEST(Families, CeilLog2IsTheNumberOfOffsets) {
  EXPECT_EQ(ceil_log2(1), 0);
  EXPECT_EQ(ceil_log2(2), 1);
  EXPECT_EQ(ceil_log2(3), 2);
  EXPECT_EQ(ceil_log2(4), 2);
  EXPECT_EQ(ceil_log2(5), 3);
  EXPECT_EQ(ceil_log2(64), 6);
  EXPECT_EQ(ceil_log2(65), 7);
}

TEST(Families, HypercubeTakesPowersOfTwoOnly) {
  for (int size = 1; size <= 64; ++size) {
    if (!std::has_single_bit(static_cast<unsigned>(size))) {
      test::expect_error([&] { (void)hypercube(size); }, {"power of two", std::to_string(size)});
      continue;
    }
    const Graph graph = hypercube(size);
    EXPECT_TRUE(graph.is_strongly_connected());
    EXPECT_EQ(graph.num_arcs(), size * ceil_log2(size));
    expect_transposed_and_sorted(graph);
  }
  test::expect_error([] { (void)hypercube(12); }, {"not 12", "8 and 16"});
}

TEST(Families, RefuseLessThanOneRank) {
  for (const auto& family : kFamilies) {
    for (const int size : {0, -3}) {
      test::expect_error([&] { (void)make_graph(family, size); },
                         {family, "at least 1 rank", std::to_string(size)});
    }
  }
  test::expect_error([] { (void)ring(0); }, {"ring", "at least 1"});
  test::expect_error([] { (void)hypercube(0); }, {"hypercube", "at least 1"});
  test::expect_error([] { (void)random_regular(0, 0, 1); }, {"random-regular", "at least 1"});
}

TEST(RandomRegular, EveryRankHasTheDegree) {
  for (int size = 3; size <= 33; ++size) {
    for (int degree = 2; degree < size; ++degree) {
      if (size % 2 == 1 && degree % 2 == 1) continue;
      SCOPED_TRACE(std::to_string(size) + " ranks of degree " + std::to_string(degree));
      const Graph graph = random_regular(size, degree, 3);

      EXPECT_TRUE(graph.is_undirected());
      EXPECT_TRUE(graph.is_strongly_connected());
      for (Rank rank = 0; rank < size; ++rank) {
        EXPECT_EQ(graph.in_neighbors(rank).size(), static_cast<std::size_t>(degree));
      }
    }
  }
}

TEST(RandomRegular, DependsOnTheSeedOnly) {
  const auto neighbors = [](std::uint64_t seed) {
    const Graph graph = random_regular(32, 4, seed);
    std::vector<Ranks> result;
    for (Rank rank = 0; rank < 32; ++rank) result.push_back(graph.in_neighbors(rank));
    return result;
  };

  EXPECT_EQ(neighbors(1), neighbors(1));
  EXPECT_NE(neighbors(1), neighbors(2));
}

TEST(RandomRegular, EveryEdgeIsEquallyLikely) {
  constexpr int kSize = 10;
  constexpr int kSamples = 4000;
  std::vector<int> counts(kSize * kSize, 0);
  for (int seed = 0; seed < kSamples; ++seed) {
    const Graph graph = random_regular(kSize, 3, static_cast<std::uint64_t>(seed));
    for (Rank rank = 0; rank < kSize; ++rank) {
      for (const Rank other : graph.in_neighbors(rank)) {
        ++counts[static_cast<std::size_t>(rank * kSize + other)];
      }
    }
  }

  // By symmetry of the ranks: probability 3/9; five standard deviations of the binomial.
  const double expected = kSamples / 3.0;
  const double tolerance = 5.0 * std::sqrt(kSamples * 2.0 / 9.0);
  for (Rank a = 0; a < kSize; ++a) {
    for (Rank b = 0; b < a; ++b) {
      EXPECT_NEAR(counts[static_cast<std::size_t>(a * kSize + b)], expected, tolerance);
    }
  }
}

TEST(RandomRegular, RefusesWhatDoesNotExistAndNamesWhatDoes) {
  test::expect_error([] { (void)random_regular(7, 3, 1); },
                     {"7 ranks with 3", "even", "take 2 or 4"});
  test::expect_error([] { (void)random_regular(8, 8, 1); }, {"below the number", "take 7"});
  test::expect_error([] { (void)random_regular(7, 9, 1); }, {"below the number", "take 6"});
  test::expect_error([] { (void)random_regular(8, 1, 1); }, {"connect", "take 2"});
  test::expect_error([] { (void)random_regular(8, 0, 1); }, {"connect", "take 2"});
  test::expect_error([] { (void)random_regular(3, 0, 1); }, {"connect", "take 2"});
  test::expect_error([] { (void)random_regular(8, -2, 1); }, {"-2", "take 2"});
  test::expect_error([] { (void)random_regular(2, 5, 1); }, {"take 1"});
}

}  // namespace
}  // namespace gossip::topology
