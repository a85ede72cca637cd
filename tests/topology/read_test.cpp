// SPDX-License-Identifier: Apache-2.0
#include <sstream>

#include <libgossip/topology/read.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

using Ranks = std::vector<Rank>;
using Rows = std::vector<std::vector<double>>;

TopologyFile read(const std::string& text) {
  std::istringstream stream(text);
  return read_topology(stream, "my.txt");
}

void expect_refused(const std::string& text, const std::vector<std::string>& parts) {
  test::expect_error([&] { (void)read(text); }, parts);
}

TEST(Read, TakesUndirectedEdges) {
  const TopologyFile file = read("# a path\n0 1\n\n  2 1   # back\n");

  EXPECT_EQ(file.graph.name(), "my.txt");
  EXPECT_EQ(file.graph.size(), 3);
  EXPECT_TRUE(file.graph.is_undirected());
  EXPECT_EQ(file.graph.in_neighbors(1), (Ranks{0, 2}));
  EXPECT_FALSE(file.matrix);
  EXPECT_EQ(file.schedule().name(), "my.txt");
  EXPECT_TRUE(file.schedule().matrix(0).is_doubly_stochastic());
}

TEST(Read, TakesDirectedEdgesFromSenderToReceiver) {
  const TopologyFile file = read("n 4\ndirected\n0 1\n1 2\n");

  EXPECT_EQ(file.graph.size(), 4);
  EXPECT_EQ(file.graph.out_neighbors(0), (Ranks{1}));
  EXPECT_EQ(file.graph.in_neighbors(0), (Ranks{}));
}

TEST(Read, FillsUpSelfWeightsOfReceivers) {
  const Rows undirected = read("0 1 1/4\n1 2 0.5").matrix->rows();
  const TopologyFile directed = read("directed\n0 1 1/4\n1 0 1/2\n");

  EXPECT_EQ(undirected, (Rows{{0.75, 0.25, 0}, {0.25, 0.25, 0.5}, {0, 0.5, 0.5}}));
  EXPECT_EQ(directed.matrix->rows(), (Rows{{0.5, 0.5}, {0.25, 0.75}}));
  EXPECT_EQ(directed.schedule().matrix(0).rows(), directed.matrix->rows());
}

TEST(Read, TakesSelfWeights) {
  const TopologyFile file = read("directed\n0 0 1/2\n0 1 1/2\n1 1 1/4\n1 0 3/4\n");

  EXPECT_EQ(file.matrix->rows(), (Rows{{0.5, 0.75}, {0.5, 0.25}}));
  EXPECT_TRUE(file.matrix->is_column_stochastic());
}

TEST(Read, TakesDenseMatrices) {
  const TopologyFile file = read("matrix # rows are receivers\nn 3\n1/3 2/3 0\n0 1 0\n.5 0 5e-1\n");

  EXPECT_EQ(file.matrix->rows(), (Rows{{1.0 / 3, 2.0 / 3, 0}, {0, 1, 0}, {0.5, 0, 0.5}}));
  EXPECT_EQ(file.graph.in_neighbors(2), (Ranks{0}));
  EXPECT_EQ(file.graph.out_neighbors(2), (Ranks{}));
}

TEST(Read, TakesOneRank) {
  EXPECT_EQ(read("n 1\n").graph.size(), 1);
  EXPECT_EQ(read("matrix\n1\n").matrix->size(), 1);
}

TEST(Read, RefusesBadEdgesNamingTheLine) {
  expect_refused("0 1\n1 x\n", {"my.txt:2", "'x' is not a rank"});
  expect_refused("0 1\n\n# note\n1 -2\n", {"my.txt:4", "'-2' is not a rank"});
  expect_refused("n 2\n0 1\n1 2\n", {"my.txt:3", "'2' is not a rank (0 to 1)"});
  expect_refused("0 1.5\n", {"my.txt:1", "'1.5'"});
  expect_refused("0 99999999999\n", {"my.txt:1", "'99999999999'"});
  expect_refused("0 1\n1 1\n", {"my.txt:2", "1 1", "itself"});
  expect_refused("0 1\n2 1\n1 0\n", {"my.txt:3", "1 0 repeats line 1"});
  expect_refused("0 1 0.5 7\n", {"my.txt:1", "4 words", "'matrix'"});
  expect_refused("0\n", {"my.txt:1", "1 words"});
  expect_refused("", {"my.txt", "no edge"});
}

TEST(Read, ADirectedEdgeAndItsOppositeAreTwo) {
  EXPECT_EQ(read("directed\n0 1\n1 0\n").graph.num_arcs(), 2);
  expect_refused("directed\n0 1\n0 1\n", {"my.txt:3", "repeats line 2"});
}

TEST(Read, RefusesBadWeights) {
  expect_refused("0 1 0.5\n1 2\n", {"my.txt:2", "every edge has a weight or none"});
  expect_refused("0 1\n1 2 0.5\n", {"my.txt:2", "every edge has a weight or none"});
  expect_refused("0 1 -0.5\n", {"my.txt:1", "'-0.5' is not a mixing weight"});
  expect_refused("0 1 nan\n", {"my.txt:1", "'nan'"});
  expect_refused("0 1 1/0\n", {"my.txt:1", "'1/0'"});
  expect_refused("0 1 half\n", {"my.txt:1", "'half'"});
  expect_refused("0 1 0.75\n1 2 0.75\n", {"my.txt", "rank 1 receives", "1.5"});
  expect_refused("0 1 0.5\n0 0 0.25\n", {"my.txt is not row stochastic", "row 0 sums to 0.75"});
}

TEST(Read, RefusesBadHeaders) {
  expect_refused("0 1\nn 3\n", {"my.txt:2", "'n' must stand before"});
  expect_refused("matrix\n1 0\ndirected\n", {"my.txt:3", "'directed' must stand before"});
  expect_refused("n\n", {"my.txt:1", "needs one number"});
  expect_refused("n zero\n", {"my.txt:1", "'zero' is not a number of ranks"});
  expect_refused("n 0\n", {"my.txt:1", "'0' is not a number of ranks"});
  expect_refused("directed please\n", {"my.txt:1", "alone"});
}

TEST(Read, RefusesMatricesThatAreNotSquareOrNotStochastic) {
  expect_refused("matrix\n1 0\n0 1 0\n", {"my.txt:3", "a row of 3 numbers", "needs 2"});
  expect_refused("matrix\n1 0\n", {"my.txt", "1 rows of 2"});
  expect_refused("matrix\n1 0\n0 1\n0 1\n", {"my.txt:4", "more than 2 rows"});
  expect_refused("matrix\n", {"my.txt", "0 rows"});
  expect_refused("n 3\nmatrix\n1 0\n", {"my.txt:3", "a row of 2 numbers", "needs 3"});
  expect_refused("matrix\n1 0\n0.5 0.25\n", {"my.txt", "row 1 sums to 0.75"});
}

TEST(Read, RefusesAFileThatIsNotThere) {
  test::expect_error([] { (void)read_topology("no/such/file.txt"); },
                     {"Cannot open", "no/such/file.txt"});
}

}  // namespace
}  // namespace gossip::topology
