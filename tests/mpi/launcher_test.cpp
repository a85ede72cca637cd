// SPDX-License-Identifier: Apache-2.0
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/mpi/launcher.h>

namespace gossip::mpi {
namespace {

using Environment = std::map<std::string, std::string>;

LaunchedBy launched_in(const Environment& environment) {
  return launched_by([&](const std::string& name) {
    const auto found = environment.find(name);
    return found != environment.end() ? std::optional(found->second) : std::nullopt;
  });
}

Environment operator+(Environment left, const Environment& right) {
  left.insert(right.begin(), right.end());
  return left;
}

void expect_launched(const Environment& environment, const LaunchedBy& expected) {
  const LaunchedBy launched = launched_in(environment);
  EXPECT_EQ(launched.launcher, expected.launcher);
  EXPECT_EQ(launched.size, expected.size);
  EXPECT_EQ(launched.rank, expected.rank);
  EXPECT_EQ(launched.local_rank, expected.local_rank);
  EXPECT_EQ(launched.local_size, expected.local_size);
  EXPECT_EQ(launched.cores, expected.cores);
}

const Environment kOpenMpi{{"OMPI_COMM_WORLD_SIZE", "8"},       {"OMPI_COMM_WORLD_RANK", "5"},
                           {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                           {"PMIX_NAMESPACE", "958857217"},     {"PMIX_RANK", "5"}};
const Environment kMpich{
    {"PMI_SIZE", "6"}, {"PMI_RANK", "4"}, {"MPI_LOCALNRANKS", "3"}, {"MPI_LOCALRANKID", "2"}};
const Environment kSlurm{{"SLURM_STEP_NUM_TASKS", "9"},
                         {"SLURM_PROCID", "7"},
                         {"SLURM_LOCALID", "0"},
                         {"SLURM_NODEID", "3"},
                         {"SLURM_STEP_TASKS_PER_NODE", "2(x3),3"},
                         {"SLURM_TASKS_PER_NODE", "8(x9)"}};
const Environment kSlurmPmix{{"PMIX_NAMESPACE", "slurm.pmix.17.0"}, {"PMIX_RANK", "7"}};

const LaunchedBy kByOpenMpi{"mpirun (Open MPI)", 8, 5, 1, 4};
const LaunchedBy kByMpich{"mpiexec (MPICH)", 6, 4, 2, 3};
const LaunchedBy kBySlurm{"srun (Slurm)", 9, 7, 0, 3};

TEST(Launcher, IsNoneWithoutItsVariables) {
  expect_launched({}, {});
  EXPECT_NO_THROW(check_launcher(launched_in({}), 1));
}

TEST(Launcher, IsReadFromTheVariablesOfEach) {
  expect_launched(kOpenMpi, kByOpenMpi);
  expect_launched(kMpich, kByMpich);
  expect_launched(kSlurm, kBySlurm);
  expect_launched(kSlurm + kSlurmPmix, kBySlurm);
  expect_launched({{"PMIX_NAMESPACE", "prterun-h-1@1"}, {"PMIX_RANK", "3"}},
                  {"a PMIx launcher", 1, 3});
}

TEST(Launcher, IsTheInnermostOne) {
  // mpirun within a step: what Slurm says is its daemon's.
  expect_launched(kSlurm + kOpenMpi, kByOpenMpi);
  expect_launched(kSlurm + kMpich, kByMpich);
  expect_launched(Environment{{"PMIX_NAMESPACE", "prterun-h-1@1"}, {"PMIX_RANK", "3"}} + kSlurm,
                  {"a PMIx launcher", 1, 3});
  // The step of an sbatch that was called under mpirun: what mpirun says is a leftover.
  expect_launched(kSlurmPmix + kSlurm + kOpenMpi, kBySlurm);
}

TEST(Launcher, IsSrunWhereItSpeaksMpichsProtocol) {
  const Environment pmi2{{"PMI_SIZE", "9"}, {"PMI_RANK", "7"}};
  expect_launched(kSlurm + pmi2, kBySlurm);
  // mpiexec within a step: another rank, or another size.
  expect_launched(kSlurm + Environment{{"PMI_SIZE", "9"}, {"PMI_RANK", "2"}},
                  {"mpiexec (MPICH)", 9, 2});
  expect_launched(kSlurm + Environment{{"PMI_SIZE", "4"}, {"PMI_RANK", "7"}},
                  {"mpiexec (MPICH)", 4, 7});
}

TEST(Launcher, CountsTheTasksOfAHostInTheStep) {
  const auto local_size = [](const char* list, const char* host) {
    return launched_in({{"SLURM_STEP_NUM_TASKS", "9"},
                        {"SLURM_NODEID", host},
                        {"SLURM_STEP_TASKS_PER_NODE", list}})
        .local_size;
  };
  EXPECT_EQ(local_size("4", "0"), 4);
  EXPECT_EQ(local_size("5,1(x3)", "0"), 5);
  EXPECT_EQ(local_size("5,1(x3)", "3"), 1);
  EXPECT_EQ(local_size("2(x2),4(x10),1", "11"), 4);
  EXPECT_EQ(local_size("2(x2),4(x10),1", "12"), 1);
  EXPECT_EQ(local_size("2", "1"), std::nullopt);
  EXPECT_EQ(local_size("", "1"), std::nullopt);
  for (const char* wrong : {"x", "4x", "2(x", "2(x3", "2(x3)4", "2;3", "2(y3)", "2,", "0", "-1",
                            "2(x0)", "99999999999"}) {
    EXPECT_THAT([&] { static_cast<void>(local_size(wrong, "0")); },
                testing::ThrowsMessage<Error>(testing::HasSubstr(
                    std::string("SLURM_STEP_TASKS_PER_NODE is '") + wrong + "'")))
        << wrong;
  }
}

TEST(Launcher, TellsTheCoresOfATaskOfSrun) {
  const Environment cores{{"SLURM_CPUS_PER_TASK", "2"}};
  EXPECT_EQ(launched_in(kSlurm + cores).cores, 2);
  EXPECT_EQ(launched_in(kSlurm + kOpenMpi + cores).cores, std::nullopt) << "mpirun binds itself";
}

TEST(Launcher, RefusesNumbersThatAreNone) {
  expect_launched({{"PMI_SIZE", ""}, {"SLURM_STEP_NUM_TASKS", ""}}, {});
  const std::pair<const char*, const char*> cases[] = {
      {"SLURM_STEP_NUM_TASKS", "many"}, {"SLURM_STEP_NUM_TASKS", "4x"},
      {"SLURM_PROCID", "-1"},           {"SLURM_CPUS_PER_TASK", " 2"},
      {"SLURM_LOCALID", "1.5"},         {"SLURM_NODEID", "18446744073709551616"}};
  for (const auto& [name, text] : cases) {
    Environment environment = kSlurm;
    environment[name] = text;
    EXPECT_THAT([&] { static_cast<void>(launched_in(environment)); },
                testing::ThrowsMessage<Error>(std::string("The environment variable ") + name +
                                              " is '" + text +
                                              "': it must be a whole number between 0 and "
                                              "2147483647."));
  }
}

TEST(Launcher, OfAnotherMpiIsRefused) {
  const LaunchedBy launched{"srun (Slurm)", 4};

  EXPECT_THAT([&] { check_launcher(launched, 1); },
              testing::ThrowsMessage<Error>(testing::AllOf(
                  testing::HasSubstr("srun (Slurm) started 4 processes"),
                  testing::HasSubstr("world of size 1"), testing::HasSubstr("--mpi=pmix"))));
}

TEST(Launcher, IsRightWhenMpiSeesSeveralOrItStartedOne) {
  EXPECT_NO_THROW(check_launcher({"srun (Slurm)", 4}, 4));
  EXPECT_NO_THROW(check_launcher({"srun (Slurm)", 4}, 2));
  EXPECT_NO_THROW(check_launcher({"mpirun (Open MPI)", 1}, 1));
}

TEST(Launcher, DiffersFromMpiInWhatItSaid) {
  EXPECT_EQ(differences(kByOpenMpi, 5, 1, 4), std::nullopt);
  EXPECT_EQ(differences({}, 3, 1, 2), std::nullopt) << "no launcher, nothing said";
  EXPECT_EQ(differences({"a PMIx launcher", 1, 3}, 3, 1, 2), std::nullopt);
  EXPECT_EQ(differences(kBySlurm, 7, 2, 4),
            "The environment variables of srun (Slurm) say local rank 0, ranks on this host 3, but "
            "MPI says local rank 2, ranks on this host 4, and MPI is right.");
  EXPECT_THAT(differences(kBySlurm, 6, 0, 3), testing::Optional(testing::HasSubstr("say rank 7,")));
}

}  // namespace
}  // namespace gossip::mpi
