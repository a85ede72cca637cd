// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <exception>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/numbers.h>
#include <libgossip/mpi/launcher.h>

namespace gossip::mpi {
namespace {

constexpr const char* kTasksOfHosts = "SLURM_STEP_TASKS_PER_NODE";

/// The number of tasks on host `index` of a list such as "2(x3),1": three hosts with 2, one with 1.
/// Nothing for a host behind its end.
std::optional<int> tasks_on_host(std::string_view list, int index) {
  constexpr int kMost = 1 << 20;
  std::optional<int> result;
  for (std::string_view rest = list;;) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    std::string_view tasks = rest.substr(0, comma);
    std::optional<int> repeats = 1;
    if (const std::size_t times = tasks.find("(x"); times != std::string_view::npos) {
      const std::string_view count = tasks.substr(times + 2);
      repeats = count.ends_with(')') ? parse_number<int>(count.substr(0, count.size() - 1))
                                     : std::nullopt;
      tasks = tasks.substr(0, times);
    }
    const auto number = parse_number<int>(tasks);
    GOSSIP_CHECK(
        number && repeats && *number >= 1 && *repeats >= 1 && *number <= kMost && *repeats <= kMost,
        "The environment variable {} is '{}': it must be a list of numbers of tasks such "
        "as 2(x3),1, each {}.",
        kTasksOfHosts, list, expected_number(1, kMost));
    if (!result && index < *repeats) result = number;
    index = std::max(index - *repeats, -1);
    if (comma == rest.size()) return result;
    rest.remove_prefix(comma + 1);
  }
}

/// Slurm's own daemon speaks PMIx with this process: the step was started by srun --mpi=pmix.
bool speaks_with_slurm(const Variables& variables) {
  return variables("PMIX_NAMESPACE").value_or("").starts_with("slurm.pmix.");
}

std::optional<LaunchedBy> by_open_mpi(const Variables& variables) {
  const auto size = number_in(variables, "OMPI_COMM_WORLD_SIZE");
  if (size.value_or(0) < 1 || speaks_with_slurm(variables)) return std::nullopt;
  return LaunchedBy{"mpirun (Open MPI)", *size,
                    number_in(variables, "OMPI_COMM_WORLD_RANK").value_or(0),
                    number_in(variables, "OMPI_COMM_WORLD_LOCAL_RANK"),
                    number_in(variables, "OMPI_COMM_WORLD_LOCAL_SIZE")};
}

std::optional<LaunchedBy> by_slurm(const Variables& variables) {
  const auto size = number_in(variables, "SLURM_STEP_NUM_TASKS");
  if (size.value_or(0) < 1) return std::nullopt;
  LaunchedBy launched{"srun (Slurm)", *size, number_in(variables, "SLURM_PROCID").value_or(0),
                      number_in(variables, "SLURM_LOCALID")};
  // Of the step: SLURM_TASKS_PER_NODE is the job's, and a step may be a part of it.
  const auto tasks = variables(kTasksOfHosts);
  const auto host = number_in(variables, "SLURM_NODEID");
  if (tasks && !tasks->empty() && host) launched.local_size = tasks_on_host(*tasks, *host);
  launched.cores = number_in(variables, "SLURM_CPUS_PER_TASK");
  return launched;
}

std::optional<LaunchedBy> by_mpich(const Variables& variables) {
  const auto size = number_in(variables, "PMI_SIZE");
  if (size.value_or(0) < 1) return std::nullopt;
  const LaunchedBy launched{"mpiexec (MPICH)", *size, number_in(variables, "PMI_RANK").value_or(0),
                            number_in(variables, "MPI_LOCALRANKID"),
                            number_in(variables, "MPI_LOCALNRANKS")};
  // srun --mpi=pmi2 sets the same variables, but mpiexec's for the host.
  const auto slurm = by_slurm(variables);
  const bool is_slurm =
      !launched.local_rank && slurm && slurm->size == launched.size && slurm->rank == launched.rank;
  return is_slurm ? slurm : launched;
}

/// A launcher that speaks PMIx only: it names neither the size nor the host's processes, and the
/// variables of a Slurm step around it are those of its daemon.
std::optional<LaunchedBy> by_pmix(const Variables& variables) {
  const auto rank = number_in(variables, "PMIX_RANK");
  if (!rank || speaks_with_slurm(variables)) return std::nullopt;
  return LaunchedBy{"a PMIx launcher", 1, *rank};
}

}  // namespace

LaunchedBy launched_by(const Variables& variables) {
  for (const auto launcher : {by_open_mpi, by_mpich, by_pmix, by_slurm}) {
    if (auto launched = launcher(variables)) return *launched;
  }
  return {};
}

Rank launched_rank() noexcept {
  try {
    return launched_by().rank;
  } catch (const std::exception&) {
    return 0;
  }
}

void check_launcher(const LaunchedBy& launched, int mpi_size) {
  GOSSIP_CHECK(launched.size <= 1 || mpi_size > 1,
               "{} started {} processes, but each of them sees an MPI world of size 1, so they "
               "would train apart. The program is linked with another MPI library than the "
               "launcher's: start it with the mpirun of the library it was built with, or with "
               "srun --mpi=pmix.",
               launched.launcher, launched.size);
}

std::optional<std::string> differences(const LaunchedBy& launched, Rank rank, int local_rank,
                                       int local_size) {
  if (launched.launcher.empty()) return std::nullopt;
  std::vector<std::string> said;
  std::vector<std::string> known;
  const auto compare = [&](std::string_view what, int theirs, int ours) {
    if (theirs == ours) return;
    said.push_back(fmt::format("{} {}", what, theirs));
    known.push_back(fmt::format("{} {}", what, ours));
  };
  compare("rank", launched.rank, rank);
  compare("local rank", launched.local_rank.value_or(local_rank), local_rank);
  compare("ranks on this host", launched.local_size.value_or(local_size), local_size);
  if (said.empty()) return std::nullopt;
  return fmt::format("The environment variables of {} say {}, but MPI says {}, and MPI is right.",
                     launched.launcher, fmt::join(said, ", "), fmt::join(known, ", "));
}

}  // namespace gossip::mpi
