// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/mpi/launcher.h>

namespace gossip::mpi {
namespace {

class Launcher : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS",
                             "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"}) {
      unsetenv(name);
    }
  }
};

TEST_F(Launcher, IsNoneWithoutItsVariables) {
  const LaunchedBy launched = launched_by();

  EXPECT_EQ(launched.launcher, "");
  EXPECT_EQ(launched.size, 1);
  EXPECT_NO_THROW(check_launcher(launched, 1));
}

TEST_F(Launcher, IsReadFromTheVariableOfEach) {
  setenv("SLURM_STEP_NUM_TASKS", "5", 1);
  EXPECT_EQ(launched_by().launcher, "srun (Slurm)");
  EXPECT_EQ(launched_by().size, 5);

  setenv("PMI_SIZE", "4", 1);
  EXPECT_EQ(launched_by().launcher, "mpiexec (MPICH)");
  EXPECT_EQ(launched_by().size, 4);
}

TEST_F(Launcher, IsTheInnermostOne) {
  setenv("SLURM_STEP_NUM_TASKS", "2", 1);
  setenv("OMPI_COMM_WORLD_SIZE", "8", 1);

  EXPECT_EQ(launched_by().launcher, "mpirun (Open MPI)");
  EXPECT_EQ(launched_by().size, 8);
}

TEST_F(Launcher, TellsTheRankOfTheInnermostOne) {
  EXPECT_EQ(launched_rank(), 0);
  setenv("SLURM_STEP_NUM_TASKS", "9", 1);
  setenv("SLURM_PROCID", "7", 1);
  EXPECT_EQ(launched_rank(), 7);
  setenv("PMI_SIZE", "4", 1);
  setenv("PMI_RANK", "3", 1);
  EXPECT_EQ(launched_rank(), 3);
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  setenv("OMPI_COMM_WORLD_RANK", "1", 1);
  EXPECT_EQ(launched_rank(), 1);
}

TEST_F(Launcher, IgnoresWhatIsNotANumber) {
  setenv("PMI_SIZE", "", 1);
  setenv("SLURM_STEP_NUM_TASKS", "many", 1);

  EXPECT_EQ(launched_by().size, 1);
}

TEST_F(Launcher, OfAnotherMpiIsRefused) {
  const LaunchedBy launched{"srun (Slurm)", 4};

  EXPECT_THAT([&] { check_launcher(launched, 1); },
              testing::ThrowsMessage<Error>(testing::AllOf(
                  testing::HasSubstr("srun (Slurm) started 4 processes"),
                  testing::HasSubstr("world of size 1"), testing::HasSubstr("--mpi=pmix"))));
}

TEST_F(Launcher, IsRightWhenMpiSeesSeveralOrItStartedOne) {
  EXPECT_NO_THROW(check_launcher({"srun (Slurm)", 4}, 4));
  EXPECT_NO_THROW(check_launcher({"srun (Slurm)", 4}, 2));
  EXPECT_NO_THROW(check_launcher({"mpirun (Open MPI)", 1}, 1));
}

}  // namespace
}  // namespace gossip::mpi
