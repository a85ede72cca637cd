// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Which program started this process, as its environment variables tell before MPI does.

#include <string>

namespace gossip::mpi {

/// The number of processes that a launcher said it starts together, and who said so.
struct LaunchedBy {
  std::string launcher;  ///< "mpirun (Open MPI)", "srun (Slurm)", "mpiexec (MPICH)"; empty when
                         ///< none is seen
  int size = 1;          ///< processes in the job step
};

/// Reads the environment variables of Open MPI, Slurm and MPICH. Local; needs no MPI.
[[nodiscard]] LaunchedBy launched_by();

/// The number that this process will have in the job, 0 where no launcher says it. Local; needs no
/// MPI.
[[nodiscard]] int launched_rank();

/// Throws gossip::Error when a launcher started several processes but MPI has world size 1 in each
/// of them: the program was linked with another MPI than the launcher's, and n processes would each
/// train alone.
void check_launcher(const LaunchedBy& launched, int mpi_size);

}  // namespace gossip::mpi
