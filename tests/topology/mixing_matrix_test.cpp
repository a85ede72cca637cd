// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include <libgossip/topology/mixing_matrix.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

using Rows = std::vector<std::vector<double>>;

const Rows kRowStochastic{{0.5, 0.5, 0.0}, {0.0, 0.75, 0.25}, {0.25, 0.25, 0.5}};
const Rows kColumnStochastic{{0.5, 0.0, 0.25}, {0.5, 0.75, 0.25}, {0.0, 0.25, 0.5}};
const Rows kSymmetric{{0.5, 0.5, 0.0}, {0.5, 0.25, 0.25}, {0.0, 0.25, 0.75}};

TEST(MixingMatrix, GivesRowsAndColumnsWithoutTheDiagonal) {
  const MixingMatrix matrix(kRowStochastic);

  EXPECT_EQ(matrix.size(), 3);
  EXPECT_EQ(matrix.self_weight(1), 0.75);
  EXPECT_EQ(matrix(2, 0), 0.25);
  EXPECT_EQ(matrix(0, 2), 0.0);
  EXPECT_EQ(matrix(1, 1), 0.75);
  ASSERT_EQ(matrix.row(2).size(), 2U);
  EXPECT_EQ(matrix.row(2)[0].rank, 0);
  EXPECT_EQ(matrix.row(2)[1].rank, 1);
  ASSERT_EQ(matrix.row(0).size(), 1U);
  ASSERT_EQ(matrix.column(1).size(), 2U);
  EXPECT_EQ(matrix.column(1)[0].rank, 0);
  EXPECT_EQ(matrix.column(1)[0].weight, 0.5);
  EXPECT_EQ(matrix.column(1)[1].rank, 2);
  EXPECT_EQ(matrix.column(1)[1].weight, 0.25);
  EXPECT_EQ(matrix.rows(), kRowStochastic);
}

TEST(MixingMatrix, TakesEntriesInAnyOrder) {
  const MixingMatrix matrix(3, {{2, 1, 0.25},
                                {0, 1, 0.5},
                                {1, 2, 0.25},
                                {2, 2, 0.5},
                                {2, 0, 0.25},
                                {1, 1, 0.75},
                                {0, 0, 0.5}});

  EXPECT_EQ(matrix.rows(), kRowStochastic);
  EXPECT_EQ(matrix.row(2)[0].rank, 0);
}

TEST(MixingMatrix, KnowsWhatIsStochastic) {
  const MixingMatrix row(kRowStochastic);
  const MixingMatrix column(kColumnStochastic);
  const MixingMatrix symmetric(kSymmetric);

  EXPECT_TRUE(row.is_row_stochastic());
  EXPECT_FALSE(row.is_column_stochastic());
  EXPECT_FALSE(row.is_doubly_stochastic());
  EXPECT_FALSE(row.is_symmetric());
  EXPECT_FALSE(column.is_row_stochastic());
  EXPECT_TRUE(column.is_column_stochastic());
  EXPECT_FALSE(column.is_doubly_stochastic());
  EXPECT_TRUE(symmetric.is_doubly_stochastic());
  EXPECT_TRUE(symmetric.is_symmetric());
}

TEST(MixingMatrix, AShiftIsDoublyStochasticButNotSymmetric) {
  const MixingMatrix matrix(Rows{{0, 1, 0}, {0, 0, 1}, {1, 0, 0}});

  EXPECT_TRUE(matrix.is_doubly_stochastic());
  EXPECT_FALSE(matrix.is_symmetric());
}

TEST(MixingMatrix, NegativeWeightsAreNotStochastic) {
  const MixingMatrix off_diagonal(Rows{{1.5, -0.5}, {-0.5, 1.5}});
  const MixingMatrix diagonal(Rows{{-0.5, 1.5}, {1.5, -0.5}});

  EXPECT_FALSE(off_diagonal.is_row_stochastic());
  EXPECT_FALSE(off_diagonal.is_column_stochastic());
  test::expect_error([&] { validate_row_stochastic(off_diagonal, "W"); },
                     {"W is not row stochastic", "row 0", "negative", "-0.5", "rank 1"});
  test::expect_error([&] { validate_column_stochastic(diagonal, "W"); },
                     {"column 0", "negative self weight", "-0.5"});
}

TEST(MixingMatrix, ValidationNamesTheLineAndItsSum) {
  test::expect_error([] { validate_row_stochastic(MixingMatrix(kColumnStochastic), "W"); },
                     {"W is not row stochastic", "row 0 sums to 0.75"});
  test::expect_error([] { validate_column_stochastic(MixingMatrix(kRowStochastic), "W"); },
                     {"W is not column stochastic", "column 0 sums to 0.75"});
  test::expect_error([] { validate_doubly_stochastic(MixingMatrix(kRowStochastic), "W"); },
                     {"W is not doubly stochastic", "column 0 sums to 0.75"});
  test::expect_error([] { validate_doubly_stochastic(MixingMatrix(kColumnStochastic), "W"); },
                     {"W is not doubly stochastic", "row 0 sums to 0.75"});
  EXPECT_NO_THROW(validate_row_stochastic(MixingMatrix(kRowStochastic), "W"));
  EXPECT_NO_THROW(validate_column_stochastic(MixingMatrix(kColumnStochastic), "W"));
  EXPECT_NO_THROW(validate_doubly_stochastic(MixingMatrix(kSymmetric), "W"));
}

TEST(MixingMatrix, RoundingIsNotAnError) {
  EXPECT_TRUE(MixingMatrix(Rows{{0.3333333333, 0.6666666667}, {0.5, 0.5}}).is_row_stochastic());
  EXPECT_FALSE(MixingMatrix(Rows{{0.33333, 0.66666}, {0.5, 0.5}}).is_row_stochastic());
}

TEST(MixingMatrix, RefusesWhatIsNoMatrix) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();

  test::expect_error([&] { MixingMatrix(Rows{{1, 0}, {nan, 1}}); }, {"[1][0]", "nan"});
  test::expect_error([&] { MixingMatrix(Rows{{1, infinity}, {0, 1}}); }, {"[0][1]", "inf"});
  test::expect_error([] { MixingMatrix(Rows{{1, 0}, {0, 1, 0}}); }, {"Row 1", "3 entries"});
  test::expect_error([] { MixingMatrix(Rows{}); }, {"at least 1"});
  test::expect_error([] { MixingMatrix(2, {{0, 2, 1.0}}); }, {"[0][2]", "outside"});
  test::expect_error([] { MixingMatrix(2, {{0, 1, 0.5}, {0, 1, 0.5}}); }, {"[0][1]", "twice"});
  test::expect_error([] { MixingMatrix(2, {{1, 1, 0.5}, {1, 1, 0.5}}); }, {"[1][1]", "twice"});
}

TEST(MixingMatrix, RefusesIndicesOutside) {
  const MixingMatrix matrix(kSymmetric);

  test::expect_error([&] { (void)matrix(3, 0); }, {"no row 3"});
  test::expect_error([&] { (void)matrix(0, -1); }, {"no column -1"});
  test::expect_error([&] { (void)matrix.self_weight(3); }, {"no rank 3"});
  test::expect_error([&] { (void)matrix.column(3); }, {"no column 3"});
}

}  // namespace
}  // namespace gossip::topology
