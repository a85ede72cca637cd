# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Nodes joined by Ethernet, Open MPI over TCP. GOSSIP_INTERFACE names the network interface, alike
# on all nodes; unless set it is the one of the first node's default route, or else its first one.

interface=${GOSSIP_INTERFACE:-$(PATH=$PATH:/usr/sbin:/sbin
  { ip -o route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p'
    ip -o -4 address show up scope global | awk '{ print $2 }'; } | head -n 1)}
[[ -n $interface ]] ||
  gossip_die "this node has no network interface with an address." \
    "Name the one that joins the nodes: GOSSIP_INTERFACE=eth0 sbatch ..."

export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp
export OMPI_MCA_btl_tcp_if_include=$interface OMPI_MCA_oob_tcp_if_include=$interface
export UCX_NET_DEVICES=$interface
export NCCL_SOCKET_IFNAME=$interface GLOO_SOCKET_IFNAME=$interface
gossip_say "network interface: $interface"
