# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034  # common.sh uses what is set here
# What differs by site. Copy this file to slurm/site/NAME.sh, keep what your site needs, and submit
# with GOSSIP_SITE=NAME (or the path of a file elsewhere). It is sourced at the begin of the job, on
# its first node, before anything is started. `sbatch` itself reads SBATCH_ACCOUNT and
# SBATCH_PARTITION.

# Compilers and MPI with which the library was built.
#   module purge
#   module load gcc/12 openmpi/4.1

# How srun connects ranks: `srun --mpi=list`. Open MPI: pmix; MPICH: pmi2 or pmix.
gossip_mpi=pmix

# Cores of a task, where jobs have whole nodes (sbatch --exclusive).
#   gossip_srun_options+=(--cpu-bind=cores --hint=nomultithread)

# A site that hides GPUs from tasks: each task must see all of its node.
#   gossip_srun_options+=(--gpu-bind=none)

# Where hosts have several networks: the one for MPI, as a name or as a range of addresses.
#   export OMPI_MCA_btl_tcp_if_include=10.0.0.0/8
#   export NCCL_SOCKET_IFNAME=eth0 GLOO_SOCKET_IFNAME=eth0
