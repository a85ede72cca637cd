// SPDX-License-Identifier: Apache-2.0
// The main function of every rank test: MPI is up while the tests run, rank 0 speaks for all, and
// all ranks exit with the same status.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include <gtest/gtest.h>
#include <mpi.h>

#include "support/hang_watchdog.h"
#include "support/merging_listener.h"

namespace {

using gossip::test::HangWatchdog;
using gossip::test::MergingListener;

/// The limit that gossip_add_test passes; a minute when started by hand.
std::chrono::seconds time_limit() {
  const char* text = std::getenv("GOSSIP_TEST_TIMEOUT");
  const long seconds = text != nullptr ? std::atol(text) : 0;
  return std::chrono::seconds(seconds > 0 ? seconds : 60);
}

/// Whether the launcher made the world that the test is registered for. A launcher of another MPI
/// library may start programs that each are alone.
bool world_is_as_registered(int rank, int size) {
  const char* text = std::getenv("GOSSIP_TEST_RANKS");
  if (text == nullptr || std::atoi(text) == size) return true;
  if (rank == 0) {
    std::fprintf(stderr,
                 "The test is for %s ranks, but the world has %d: another MPI's launcher?\n", text,
                 size);
  }
  return false;
}

/// Leaves output to rank 0; what fails elsewhere reaches it through the listener.
void silence(testing::TestEventListeners& listeners) {
  delete listeners.Release(listeners.default_result_printer());
  GTEST_FLAG_SET(output, "");
  if (std::freopen("/dev/null", "w", stdout) == nullptr) std::perror("/dev/null");
}

/// Collective. Gives all ranks the same order of tests under --gtest_shuffle.
void agree_on_seed() {
  int seed = GTEST_FLAG_GET(random_seed);
  if (seed == 0) seed = 1 + static_cast<int>(std::random_device()() % 99999);
  MPI_Bcast(&seed, 1, MPI_INT, 0, MPI_COMM_WORLD);
  GTEST_FLAG_SET(random_seed, seed);
}

/// Collective. Runs the tests; 0 when all ranks passed all of them, and there was one.
int run(MPI_Comm comm, int rank, HangWatchdog& watchdog) {
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (rank != 0) silence(listeners);
  listeners.Append(new MergingListener(comm, watchdog));

  int status = RUN_ALL_TESTS();
  if (testing::UnitTest::GetInstance()->test_to_run_count() == 0) {
    if (rank == 0) std::fprintf(stderr, "No test matches the filter: that is not a pass.\n");
    status = 1;
  }
  MPI_Allreduce(MPI_IN_PLACE, &status, 1, MPI_INT, MPI_MAX, comm);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided);
  if (provided < MPI_THREAD_SERIALIZED) {
    std::fprintf(stderr, "The tests need MPI_THREAD_SERIALIZED, this MPI gives less.\n");
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  testing::InitGoogleTest(&argc, argv);
  agree_on_seed();

  MPI_Comm comm = MPI_COMM_NULL;  // messages that a test forgot cannot meet ours
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  if (!world_is_as_registered(rank, size)) {
    MPI_Finalize();
    return 1;
  }

  HangWatchdog watchdog(rank, size, time_limit());
  const int status = run(comm, rank, watchdog);
  watchdog.now("has ended all tests and is in MPI_Finalize");
  MPI_Comm_free(&comm);
  MPI_Finalize();
  return status;
}
