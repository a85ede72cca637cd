// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include <fmt/format.h>

#include <libgossip/base/collective_call.h>
#include <libgossip/mpi/environment.h>
#include <libgossip/topology/hosts.h>
#include <libgossip/train/build_info.h>
#include <libgossip/train/job.h>
#include <libgossip/transport/hosts.h>

namespace gossip::train {
namespace {

/// "node1:2,node2:2", as mpirun's --host reads it.
std::string text_of(const std::vector<HostRanks>& hosts, std::size_t most) {
  std::vector<std::string> parts;
  for (const HostRanks& host : hosts) {
    if (parts.size() == most) {
      parts.emplace_back("...");
      break;
    }
    parts.push_back(fmt::format("{}:{}", host.name, host.ranks));
  }
  return fmt::format("{}", fmt::join(parts, ","));
}

int num_ranks(const std::vector<HostRanks>& hosts) {
  return std::accumulate(hosts.begin(), hosts.end(), 0,
                         [](int sum, const HostRanks& host) { return sum + host.ranks; });
}

void add(Fields& fields, const SlurmJob& job) {
  fields.push_back({"job_id", job.id});
  if (job.array_id) fields.push_back({"array_job_id", *job.array_id});
  if (job.array_task) fields.push_back({"array_task", std::int64_t{*job.array_task}});
  fields.push_back({"job_name", job.name});
  fields.push_back({"partition", job.partition});
  fields.push_back({"nodes", job.nodes});
  fields.push_back({"num_nodes", std::int64_t{job.num_nodes}});
  fields.push_back({"restart_count", std::int64_t{job.restart_count}});
}

std::string sentence(const SlurmJob& job) {
  const std::string id =
      job.array_id && job.array_task
          ? fmt::format("{} (task {} of array {})", job.id, *job.array_task, *job.array_id)
          : job.id;
  const std::string nodes = job.num_nodes == 1 ? "1 node" : fmt::format("{} nodes", job.num_nodes);
  return fmt::format("Slurm job {}, '{}' in partition {}, on {} ({}), {}", id, job.name,
                     job.partition, job.nodes, nodes,
                     job.restart_count == 0
                         ? "started for the first time"
                         : fmt::format("restarted, restart {}", job.restart_count));
}

}  // namespace

std::optional<SlurmJob> slurm_job(const Variables& variables) {
  const auto id = variables("SLURM_JOB_ID");
  if (!id) return std::nullopt;
  const auto text = [&](const char* name) { return variables(name).value_or(""); };
  return SlurmJob{.id = *id,
                  .array_id = variables("SLURM_ARRAY_JOB_ID"),
                  .array_task = number_in(variables, "SLURM_ARRAY_TASK_ID"),
                  .name = text("SLURM_JOB_NAME"),
                  .partition = text("SLURM_JOB_PARTITION"),
                  .nodes = text("SLURM_JOB_NODELIST"),
                  .num_nodes = number_in(variables, "SLURM_JOB_NUM_NODES").value_or(0),
                  .restart_count = number_in(variables, "SLURM_RESTART_COUNT").value_or(0)};
}

JobInfo job_info(transport::Group& group, const Variables& variables) {
  const CollectiveCall call("job_info()", CollectiveCall::patience());
  const topology::Hosts hosts = transport::hosts_of(group);
  JobInfo info{.slurm = slurm_job(variables), .mpi = mpi::library_version()};
  for (int host = 0; host < hosts.num_hosts(); ++host) {
    info.hosts.push_back({hosts.name(host), static_cast<int>(hosts.ranks_on(host).size())});
  }
  return info;
}

Fields fields(const JobInfo& job) {
  const BuildInfo build = build_info();
  Fields fields;
  if (job.slurm) add(fields, *job.slurm);
  fields.push_back({"hosts", text_of(job.hosts, job.hosts.size())});
  fields.push_back({"num_hosts", static_cast<std::int64_t>(job.hosts.size())});
  fields.push_back({"version", build.version});
  fields.push_back({"commit", build.commit});
  fields.push_back({"mpi", job.mpi});
  fields.push_back({"libtorch", build.libtorch});
  fields.push_back({"compiler", build.compiler});
  return fields;
}

std::vector<std::string> lines(const JobInfo& job) {
  constexpr std::size_t kShown = 16;
  const BuildInfo build = build_info();
  std::vector<std::string> lines;
  if (job.slurm) lines.push_back(sentence(*job.slurm));
  lines.push_back(fmt::format("ranks: {} on {} host{} ({})", num_ranks(job.hosts), job.hosts.size(),
                              job.hosts.size() == 1 ? "" : "s", text_of(job.hosts, kShown)));
  lines.push_back(fmt::format("libgossip {} (commit {}), {}, LibTorch {}, compiled by {}",
                              build.version, build.commit, job.mpi, build.libtorch,
                              build.compiler));
  return lines;
}

}  // namespace gossip::train
