# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Nodes joined by InfiniBand or RoCE, Open MPI over UCX: two-sided messages and one-sided puts use
# the adapter. GOSSIP_UCX_DEVICE names it, as `ucx_info -d` does; unless set UCX chooses.

export OMPI_MCA_pml=ucx OMPI_MCA_osc=ucx
[[ -z ${GOSSIP_UCX_DEVICE:-} ]] || export UCX_NET_DEVICES=$GOSSIP_UCX_DEVICE
# A communication thread and the training thread take turns in MPI; polling waits would starve one.
export OMPI_MCA_mpi_yield_when_idle=1
gossip_say "InfiniBand device: ${GOSSIP_UCX_DEVICE:-chosen by UCX}"
