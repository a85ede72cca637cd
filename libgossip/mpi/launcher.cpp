// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cstdlib>
#include <cstring>

#include <libgossip/base/error.h>
#include <libgossip/mpi/launcher.h>

namespace gossip::mpi {
namespace {

int number_in(const char* variable) {
  const char* text = std::getenv(variable);
  int value = 0;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), value);
  return value;
}

}  // namespace

LaunchedBy launched_by() {
  // The innermost launcher comes first: mpirun may itself run inside a Slurm job step.
  if (const int size = number_in("OMPI_COMM_WORLD_SIZE"); size > 0)
    return {"mpirun (Open MPI)", size};
  if (const int size = number_in("PMI_SIZE"); size > 0) return {"mpiexec (MPICH)", size};
  if (const int size = number_in("SLURM_STEP_NUM_TASKS"); size > 0) return {"srun (Slurm)", size};
  return {};
}

int launched_rank() {
  if (number_in("OMPI_COMM_WORLD_SIZE") > 0) return number_in("OMPI_COMM_WORLD_RANK");
  if (number_in("PMI_SIZE") > 0) return number_in("PMI_RANK");
  if (number_in("SLURM_STEP_NUM_TASKS") > 0) return number_in("SLURM_PROCID");
  return 0;
}

void check_launcher(const LaunchedBy& launched, int mpi_size) {
  GOSSIP_CHECK(launched.size <= 1 || mpi_size > 1,
               "{} started {} processes, but each of them sees an MPI world of size 1, so they "
               "would train apart. The "
               "program is linked with another MPI library than the launcher's: start it with the "
               "mpirun of the "
               "library it was built with, or with srun --mpi=pmix.",
               launched.launcher, launched.size);
}

}  // namespace gossip::mpi
