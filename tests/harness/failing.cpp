// SPDX-License-Identifier: Apache-2.0
// Tests that go wrong on some ranks, for the tests of the harness.
#include <stdexcept>

#include <gtest/gtest.h>
#include <mpi.h>

namespace {

int rank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

TEST(AllRanks, Pass) { EXPECT_GE(rank(), 0); }

TEST(OneRank, Fails) { EXPECT_NE(rank(), 1) << "one and two differ"; }

TEST(RankZero, Fails) { EXPECT_NE(rank(), 0); }

TEST(OneRank, Throws) {
  if (rank() == 2) throw std::runtime_error("thrown on purpose");
}

TEST(OneRank, Skips) {
  if (rank() == 1) GTEST_SKIP() << "skipped on purpose";
}

class BrokenSetup : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (rank() == 1) FAIL() << "set-up fails on purpose";
  }
};

TEST_F(BrokenSetup, Body) {}

}  // namespace
