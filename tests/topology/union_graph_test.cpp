// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/topology/pair_events.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/union_graph.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

TEST(UnionGraph, HasThePairsOfAllRounds) {
  const Graph graph = union_graph(one_peer_exponential(8));
  EXPECT_EQ(graph.name(), "one-peer-exponential");
  EXPECT_TRUE(graph.is_undirected());
  EXPECT_EQ(graph.out_neighbors(0), (std::vector<Rank>{1, 2, 4, 6, 7}));
}

TEST(UnionGraph, HasAllPairsOfAScheduleThatNeverRepeats) {
  EXPECT_EQ(union_graph(random_matching(6, 1)).num_arcs(), 6 * 5);
}

TEST(Levels, DifferBetweenNeighborsAndAreFew) {
  for (const Graph& graph : {ring(6), ring(7), star(5), complete(4), torus(12)}) {
    const std::vector<int> levels = levels_of(graph);
    for (Rank rank = 0; rank < graph.size(); ++rank) {
      for (const Rank neighbor : graph.out_neighbors(rank)) {
        EXPECT_NE(levels[static_cast<std::size_t>(rank)],
                  levels[static_cast<std::size_t>(neighbor)])
            << graph.name();
      }
    }
    EXPECT_LE(*std::ranges::max_element(levels), graph.max_degree()) << graph.name();
  }
  EXPECT_EQ(levels_of(star(4)), (std::vector<int>{1, 0, 0, 0}));
}

TEST(PairEvents, AreOnePerRankOnAverageWhereEachStartsAHalf) {
  EXPECT_EQ(times_between_events(ring(4), 0.5), std::vector<double>(4, 1.0));
  const std::vector<double> of_a_star = times_between_events(star(3), 0.5);
  EXPECT_DOUBLE_EQ(1.0 / of_a_star[0], 1.5);
  EXPECT_DOUBLE_EQ(1.0 / of_a_star[1], 0.75);
}

TEST(PairEvents, OneOfTwoNeighborsStartsThem) {
  for (const int size : {2, 5, 6}) {
    for (Rank rank = 0; rank < size; ++rank) {
      for (Rank other = 0; other < rank; ++other) {
        EXPECT_NE(starts_exchanges(rank, other, size), starts_exchanges(other, rank, size))
            << rank << " and " << other << " of " << size;
      }
    }
  }
}

}  // namespace
}  // namespace gossip::topology
