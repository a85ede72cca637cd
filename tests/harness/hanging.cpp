// SPDX-License-Identifier: Apache-2.0
// A test that hangs on rank 1, for the tests of the harness.
#include <gtest/gtest.h>
#include <mpi.h>

namespace {

TEST(OneRank, Hangs) {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank != 1) return;

  ADD_FAILURE() << "failed before it hung";
  int never = 0;
  MPI_Recv(&never, 1, MPI_INT, 1, 77, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

}  // namespace
