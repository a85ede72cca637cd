# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034  # common.sh uses what is set here
# HPE Cray EX with Slingshot: Cray MPICH over libfabric. Build with the site's compiler wrappers
# (MPI_HOME=$MPICH_DIR), and set GOSSIP_MODULES to the modules of the build.

if [[ -n ${GOSSIP_MODULES:-} ]]; then
  # shellcheck disable=SC2086  # one argument a module
  module load $GOSSIP_MODULES
fi
gossip_mpi=cray_shasta
gossip_srun_options+=(--cpu-bind=cores --hint=nomultithread)

export NCCL_SOCKET_IFNAME=hsn GLOO_SOCKET_IFNAME=hsn0
