// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>
#include <mpi.h>

TEST(Ranks, MpiIsUpWithTheThreadLevelThatTheLibraryNeeds) {
  int initialized = 0;
  int level = 0;
  MPI_Initialized(&initialized);
  MPI_Query_thread(&level);

  EXPECT_EQ(initialized, 1);
  EXPECT_GE(level, MPI_THREAD_SERIALIZED);
}

TEST(Ranks, CanCommunicateInATest) {
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);

  int sum = rank;
  MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);

  EXPECT_EQ(sum, size * (size - 1) / 2);
}

TEST(Ranks, KnowALimitBelowTheTimeoutOfTheTest) {
  const char* limit = std::getenv("GOSSIP_TEST_TIMEOUT");
  ASSERT_NE(limit, nullptr) << "start this test by ctest";

  EXPECT_GT(std::stoi(limit), 0);
  EXPECT_LT(std::stoi(limit), 120);
}
