// SPDX-License-Identifier: Apache-2.0
#include "topology_test_support.h"

namespace gossip::topology {
namespace {

using Ranks = std::vector<Rank>;

TEST(Graph, DirectedKeepsDirections) {
  const Graph graph = Graph::directed(4, {{3, 1}, {0, 1}, {1, 2}}, "mine");

  EXPECT_EQ(graph.name(), "mine");
  EXPECT_EQ(graph.size(), 4);
  EXPECT_EQ(graph.in_neighbors(1), (Ranks{0, 3}));
  EXPECT_EQ(graph.out_neighbors(1), (Ranks{2}));
  EXPECT_EQ(graph.num_arcs(), 3);
  EXPECT_EQ(graph.max_degree(), 2);
  EXPECT_TRUE(graph.has_arc(3, 1));
  EXPECT_FALSE(graph.has_arc(1, 3));
  EXPECT_FALSE(graph.is_undirected());
}

TEST(Graph, UndirectedHasBothDirectionsAndCountsAnEdgeOnce) {
  const Graph graph = Graph::undirected(3, {{0, 1}, {1, 0}, {0, 1}, {2, 1}});

  EXPECT_EQ(graph.in_neighbors(1), (Ranks{0, 2}));
  EXPECT_EQ(graph.out_neighbors(1), (Ranks{0, 2}));
  EXPECT_EQ(graph.num_arcs(), 4);
  EXPECT_TRUE(graph.is_undirected());
}

TEST(Graph, MaxDegreeLooksAtBothDirections) {
  EXPECT_EQ(Graph::directed(4, {{0, 1}, {0, 2}, {0, 3}}).max_degree(), 3);
  EXPECT_EQ(Graph::directed(4, {{1, 0}, {2, 0}, {3, 0}}).max_degree(), 3);
}

TEST(Graph, IsStronglyConnectedOnlyIfEveryRankReachesEveryRank) {
  EXPECT_TRUE(Graph::directed(1, {}).is_strongly_connected());
  EXPECT_FALSE(Graph::directed(2, {}).is_strongly_connected());
  EXPECT_TRUE(Graph::directed(3, {{0, 1}, {1, 2}, {2, 0}}).is_strongly_connected());
  EXPECT_FALSE(Graph::directed(3, {{0, 1}, {1, 2}}).is_strongly_connected());
  EXPECT_FALSE(Graph::directed(3, {{1, 0}, {2, 1}}).is_strongly_connected());
  EXPECT_FALSE(Graph::undirected(4, {{0, 1}, {2, 3}}).is_strongly_connected());
}

TEST(Graph, NamesAPairWithoutAWay) {
  const auto forwards = Graph::directed(3, {{0, 1}, {1, 0}, {2, 0}}).find_unreachable();
  const auto backwards = Graph::directed(3, {{0, 1}, {1, 0}, {0, 2}}).find_unreachable();

  ASSERT_TRUE(forwards && backwards);
  EXPECT_EQ(forwards->sender, 0);
  EXPECT_EQ(forwards->receiver, 2);
  EXPECT_EQ(backwards->sender, 2);
  EXPECT_EQ(backwards->receiver, 0);
}

TEST(Graph, RefusesBadEdgesByName) {
  test::expect_error(
      [] {
        (void)Graph::directed(4, {{0, 1}, {2, 4}}, "mine");
      },
      {"2 -> 4", "mine", "0..3"});
  test::expect_error([] { (void)Graph::directed(4, {{-1, 0}}); }, {"-1 -> 0"});
  test::expect_error([] { (void)Graph::undirected(4, {{2, 2}}); }, {"2 -> 2", "itself"});
  test::expect_error([] { (void)Graph::undirected(0, {}); }, {"at least 1"});
}

TEST(Graph, RefusesARankThatIsNotThere) {
  const Graph graph = Graph::undirected(2, {{0, 1}});

  test::expect_error([&] { (void)graph.in_neighbors(2); }, {"0..1", "not 2"});
  test::expect_error([&] { (void)graph.out_neighbors(-1); }, {"0..1", "not -1"});
}

}  // namespace
}  // namespace gossip::topology
