// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What runs where: the job of the batch system, the hosts, and the versions of what runs.

#include <optional>
#include <string>
#include <vector>

#include <libgossip/base/variables.h>
#include <libgossip/train/metrics.h>
#include <libgossip/transport/group.h>

namespace gossip::train {

/// A job of Slurm, as it tells its processes. What it leaves out is empty.
struct SlurmJob {
  std::string id = {};
  std::optional<std::string> array_id = {};  ///< of the array that the job belongs to
  std::optional<int> array_task = {};
  std::string name = {};
  std::string partition = {};
  std::string nodes = {};  ///< as Slurm writes them: node[1-4]; see expand_host_list()
  int num_nodes = 0;
  int restart_count = 0;  ///< how often the job was requeued
};

/// The job that this process is a part of, nothing outside of Slurm. Local.
[[nodiscard]] std::optional<SlurmJob> slurm_job(const Variables& variables = environment_variable);

/// The part of a job that runs on one host.
struct HostRanks {
  std::string name;
  int ranks;
};

/// What a result needs so that it can be placed later.
struct JobInfo {
  std::optional<SlurmJob> slurm = {};
  std::vector<HostRanks> hosts = {};  ///< in the order of their first ranks
  std::string mpi = {};               ///< the MPI library that runs, such as "Open MPI v4.1.4"
};

/// Collective over `group`.
[[nodiscard]] JobInfo job_info(transport::Group& group,
                               const Variables& variables = environment_variable);

/// For the start record: what docs/metrics.md lists under "The job", build_info() included.
[[nodiscard]] Fields fields(const JobInfo& job);

/// The same in sentences for a log, a line each, of many hosts the first ones only.
[[nodiscard]] std::vector<std::string> lines(const JobInfo& job);

}  // namespace gossip::train
