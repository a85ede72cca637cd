// SPDX-License-Identifier: Apache-2.0
#include <libgossip/topology/factory.h>
#include <libgossip/topology/spectral.h>
#include <libgossip/topology/weights.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

using Rows = std::vector<std::vector<double>>;

void expect_near(const MixingMatrix& matrix, const Rows& expected) {
  const Rows rows = matrix.rows();
  ASSERT_EQ(rows.size(), expected.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < rows.size(); ++j) {
      EXPECT_NEAR(rows[i][j], expected[i][j], 1e-15) << i << ", " << j;
    }
  }
}

std::vector<Arc> arcs_of(const nlohmann::json& pairs) {
  std::vector<Arc> arcs;
  for (const auto& pair : pairs) arcs.push_back({pair[0].get<Rank>(), pair[1].get<Rank>()});
  return arcs;
}

class ReferenceMatrices : public testing::Test {
 protected:
  const nlohmann::json matrices_ = test::read_reference("quadratic_n8.json").at("matrices");
  const Graph graph_ = Graph::undirected(8, arcs_of(matrices_.at("undirected_edges")));
  const Graph digraph_ = Graph::directed(8, arcs_of(matrices_.at("directed_arcs_sender_receiver")));
};

TEST_F(ReferenceMatrices, MetropolisIsW) {
  expect_near(metropolis(graph_), matrices_.at("W").get<Rows>());
}

TEST_F(ReferenceMatrices, LazyMetropolisIsWlazy) {
  expect_near(lazy(metropolis(graph_)), matrices_.at("Wlazy").get<Rows>());
}

TEST_F(ReferenceMatrices, UniformInDegreeIsR) {
  expect_near(uniform_in_degree(digraph_), matrices_.at("R").get<Rows>());
}

TEST_F(ReferenceMatrices, UniformOutDegreeIsC) {
  expect_near(uniform_out_degree(digraph_), matrices_.at("C").get<Rows>());
}

TEST(Weights, AreStochasticOnAllGraphs) {
  for (const TopologyName& known : topology_names()) {
    const std::string name(known.name.substr(0, known.name.find(':')));
    if (name == "one-peer-exponential" || name == "random-matching" ||
        name == "hierarchical-one-peer" || name == "file" || name == "lazy") {
      continue;
    }
    for (int size = 1; size <= 64; ++size) {
      if (name == "hypercube" && (size & (size - 1)) != 0) continue;
      SCOPED_TRACE(name + " of " + std::to_string(size));
      const Graph graph = make_graph(name, size, 5, test::hosts_of_size(size));

      EXPECT_TRUE(uniform_in_degree(graph).is_row_stochastic());
      EXPECT_TRUE(uniform_out_degree(graph).is_column_stochastic());
      EXPECT_TRUE(lazy(uniform_in_degree(graph)).is_row_stochastic());
      if (!graph.is_undirected()) continue;
      for (const MixingMatrix& matrix :
           {metropolis(graph), max_degree_weights(graph), lazy(metropolis(graph))}) {
        EXPECT_TRUE(matrix.is_doubly_stochastic());
        EXPECT_TRUE(matrix.is_symmetric());
        for (Rank rank = 0; rank < size; ++rank) EXPECT_GT(matrix.self_weight(rank), 0.0);
      }
    }
  }
}

TEST(Weights, MaxDegreeGivesAllEdgesTheSameWeight) {
  expect_near(max_degree_weights(path(3)),
              {{2.0 / 3, 1.0 / 3, 0}, {1.0 / 3, 1.0 / 3, 1.0 / 3}, {0, 1.0 / 3, 2.0 / 3}});
}

TEST(Weights, ConstantEdgeWeightsMayTurnSelfWeightsNegative) {
  expect_near(constant_edge_weights(path(3), 0.75),
              {{0.25, 0.75, 0}, {0.75, -0.5, 0.75}, {0, 0.75, 0.25}});
}

TEST(Weights, SpectralOnesHaveEigenvaluesFrom0UpToTheGap) {
  expect_near(spectral_weights(path(3)),
              {{2.0 / 3, 1.0 / 3, 0}, {1.0 / 3, 1.0 / 3, 1.0 / 3}, {0, 1.0 / 3, 2.0 / 3}});
  for (const Graph& graph : {star(7), ring(8), path(9), complete(5), grid(12), binary_tree(11)}) {
    const MixingMatrix matrix = spectral_weights(graph);
    EXPECT_TRUE(matrix.is_doubly_stochastic()) << graph.name();
    const SpectralConstants constants = spectral_constants(matrix);
    EXPECT_NEAR(*constants.lambda_min, 0.0, 1e-14) << graph.name();
    EXPECT_NEAR(*constants.lambda2, 1.0 - 1.0 / laplacian_spectrum(graph).chi(), 1e-13);
  }
}

TEST(Weights, LazyKeepsHalfOfTheOwnValue) {
  expect_near(lazy(MixingMatrix(Rows{{0, 1}, {1, 0}})), {{0.5, 0.5}, {0.5, 0.5}});
}

TEST(Weights, SymmetricOnesRefuseDirectedGraphsNamingTheEdge) {
  const Graph graph = Graph::directed(3, {{0, 1}, {1, 0}, {1, 2}, {2, 1}, {2, 0}}, "mine");

  test::expect_error([&] { (void)metropolis(graph); }, {"Metropolis", "mine", "2 -> 0"});
  test::expect_error([&] { (void)max_degree_weights(graph); }, {"Maximum-degree", "2 -> 0"});
  test::expect_error([&] { (void)constant_edge_weights(graph, 0.1); }, {"Constant", "2 -> 0"});
}

}  // namespace
}  // namespace gossip::topology
