// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/version.h>
#include <libgossip/mpi/environment.h>
#include <libgossip/train/build_info.h>
#include <libgossip/train/job.h>

#include "transport/on_ranks.h"

namespace gossip::train {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

Variables variables(const std::map<std::string, std::string>& values) {
  return [values](const std::string& name) {
    const auto found = values.find(name);
    return found != values.end() ? std::optional(found->second) : std::nullopt;
  };
}

const std::map<std::string, std::string> kJob{
    {"SLURM_JOB_ID", "17"},           {"SLURM_JOB_NAME", "train"},  {"SLURM_JOB_PARTITION", "gpu"},
    {"SLURM_JOB_NODELIST", "n[1-4]"}, {"SLURM_JOB_NUM_NODES", "4"},
};

std::map<std::string, std::string> array_job() {
  auto values = kJob;
  values.insert(
      {{"SLURM_ARRAY_JOB_ID", "12"}, {"SLURM_ARRAY_TASK_ID", "3"}, {"SLURM_RESTART_COUNT", "2"}});
  return values;
}

std::map<std::string, decltype(Field::value)> as_map(const Fields& fields) {
  std::map<std::string, decltype(Field::value)> result;
  for (const Field& field : fields) {
    EXPECT_TRUE(result.insert({field.name, field.value}).second) << field.name << " twice";
  }
  return result;
}

std::string text(const Fields& fields, const char* name) {
  const auto all = as_map(fields);
  return all.contains(name) ? std::get<std::string>(all.at(name)) : "not there";
}

std::int64_t number(const Fields& fields, const char* name) {
  return std::get<std::int64_t>(as_map(fields).at(name));
}

TEST(SlurmJob, IsNoneOutsideOfSlurm) {
  EXPECT_FALSE(slurm_job(variables({})));
  EXPECT_FALSE(as_map(fields({})).contains("job_id"));
}

TEST(SlurmJob, IsWhatItsVariablesSay) {
  const auto job = slurm_job(variables(kJob));

  ASSERT_TRUE(job);
  EXPECT_EQ(job->id, "17");
  EXPECT_EQ(job->name, "train");
  EXPECT_EQ(job->partition, "gpu");
  EXPECT_EQ(job->nodes, "n[1-4]");
  EXPECT_EQ(job->num_nodes, 4);
  EXPECT_EQ(job->restart_count, 0) << "Slurm sets it after the first restart only";
  EXPECT_FALSE(job->array_id);
}

TEST(SlurmJob, TellsItsArrayAndRestarts) {
  const JobInfo info{.slurm = slurm_job(variables(array_job())), .mpi = "MPI"};
  const Fields all = fields(info);

  EXPECT_EQ(text(all, "job_id"), "17");
  EXPECT_EQ(text(all, "array_job_id"), "12");
  EXPECT_EQ(number(all, "array_task"), 3);
  EXPECT_EQ(number(all, "restart_count"), 2);
  EXPECT_EQ(number(all, "num_nodes"), 4);
  EXPECT_EQ(lines(info).front(),
            "Slurm job 17 (task 3 of array 12), 'train' in partition gpu, on n[1-4] (4 nodes), "
            "restarted, restart 2");
}

TEST(JobInfo, ListsHostsAndTheirRanks) {
  const JobInfo info{.hosts = {{"a", 2}, {"b", 1}}, .mpi = "MPI"};

  EXPECT_EQ(text(fields(info), "hosts"), "a:2,b:1");
  EXPECT_EQ(number(fields(info), "num_hosts"), 2);
  EXPECT_EQ(lines(info).front(), "ranks: 3 on 2 hosts (a:2,b:1)");
}

TEST(JobInfo, ShowsOfManyHostsTheFirstOnes) {
  JobInfo info;
  for (int host = 0; host < 20; ++host) info.hosts.push_back({"n" + std::to_string(host), 1});

  EXPECT_THAT(lines(info).front(), testing::EndsWith(",n14:1,n15:1,...)"));
  EXPECT_THAT(text(fields(info), "hosts"), testing::EndsWith(",n18:1,n19:1"));
}

TEST(JobInfo, SaysWhatTheLibraryWasBuiltFrom) {
  const BuildInfo build = build_info();
  const Fields all = fields({.mpi = "MPI 1"});

  EXPECT_EQ(build.version, kVersion);
  EXPECT_THAT(build.commit, testing::MatchesRegex("unknown|[0-9a-f]{12,40}[*]?"));
  EXPECT_THAT(build.compiler, testing::MatchesRegex("[A-Za-z]+ [0-9.]+"));
  EXPECT_THAT(build.libtorch, testing::MatchesRegex("none|[0-9.]+"));
  EXPECT_EQ(text(all, "commit"), build.commit);
  EXPECT_EQ(text(all, "mpi"), "MPI 1");
  EXPECT_THAT(lines({.mpi = "MPI 1"}),
              Contains(testing::AllOf(HasSubstr("commit " + build.commit), HasSubstr("MPI 1"))));
}

TEST(JobInfo, IsTheSameOnAllRanks) {
  test::on_ranks(0, [](transport::Group& group) {
    const JobInfo info = job_info(group, variables(kJob));

    int ranks = 0;
    for (const HostRanks& host : info.hosts) ranks += host.ranks;
    EXPECT_EQ(ranks, group.size());
    EXPECT_EQ(info.mpi, mpi::library_version());
    EXPECT_THAT(info.mpi, testing::MatchesRegex("(Open MPI|MPICH|Intel).* v?[0-9].*"));
    const std::string own = text(fields(info), "hosts");
    EXPECT_THAT(group.all_gather(own), testing::Each(own));
  });
}

}  // namespace
}  // namespace gossip::train
