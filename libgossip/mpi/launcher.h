// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Which program started this process, as its environment variables tell before MPI does.

#include <optional>
#include <string>

#include <libgossip/base/types.h>
#include <libgossip/base/variables.h>

namespace gossip::mpi {

/// What the launcher told a process. MPI, once it is up, knows better: see differences().
struct LaunchedBy {
  /// "mpirun (Open MPI)", "mpiexec (MPICH)", "srun (Slurm)" or "a PMIx launcher"; empty when none
  /// is seen.
  std::string launcher = {};
  int size = 1;  ///< processes in the job step; 1 also where the launcher does not say it
  Rank rank = 0;
  std::optional<int> local_rank = {};  ///< number among the job step's processes on this host
  std::optional<int> local_size = {};  ///< how many these are
  std::optional<int> cores = {};       ///< for each process, where it was asked for
};

/// Reads the environment variables of Open MPI, MPICH, PMIx and Slurm. The innermost launcher
/// counts: under mpirun within a Slurm job the variables of Slurm are those of mpirun's daemon, and
/// the ones that an mpirun left in the environment of an sbatch are not those of its srun. Local;
/// needs no MPI. Unless told otherwise the variables are those that the process was started with:
/// an MPI library that started alone (a singleton) sets such variables for itself. Throws
/// gossip::Error when a number in them is none.
[[nodiscard]] LaunchedBy launched_by(const Variables& variables = initial_variable);

/// The number that this process will have in the job, 0 where no launcher says it. Local; needs no
/// MPI; for messages, so that it throws nothing.
[[nodiscard]] Rank launched_rank() noexcept;

/// Throws gossip::Error when a launcher started several processes but MPI has world size 1 in each
/// of them: the program was linked with another MPI than the launcher's, and n processes would each
/// train alone.
void check_launcher(const LaunchedBy& launched, int mpi_size);

/// A sentence on what the launcher said and MPI knows otherwise; nothing when they agree. Local.
[[nodiscard]] std::optional<std::string> differences(const LaunchedBy& launched, Rank rank,
                                                     int local_rank, int local_size);

}  // namespace gossip::mpi
