// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Two-level topologies: many edges inside a host, few between hosts. The ranks of a host take
/// turns as ends of its edges to other hosts, so that none carries them all. They take the hosts in
/// the order of their numbers (see ordered_by_switches()), any number of ranks on each, and ranks
/// placed in any way; with one rank a host they are the plain topologies over hosts, with one host
/// the complete graph. All throw gossip::Error when the hosts are not known.

#include <cstdint>

#include <libgossip/topology/graph.h>
#include <libgossip/topology/hosts.h>
#include <libgossip/topology/mixing_matrix.h>
#include <libgossip/topology/schedule.h>

namespace gossip::topology {

/// Everybody with everybody inside a host; one edge between host h and host h + 1 (mod their
/// number). Name: "hierarchical-ring".
[[nodiscard]] Graph hierarchical_ring(const Hosts& hosts);

/// Everybody with everybody inside a host; one edge between host h and each host h + 2^b. Name:
/// "hierarchical-exponential".
[[nodiscard]] Graph hierarchical_exponential(const Hosts& hosts);

/// Symmetric, doubly stochastic weights for an undirected graph whose edges between hosts are few.
/// With d_i the edges of rank i to other hosts, plus 1 if its host has other ranks: between hosts
/// \f$ W_{ij} = 1 / (1 + \max(d_i, d_j)) \f$, as Metropolis weights if all the rest of a host were
/// one neighbor; what these leave to the rank that gives most away is spread evenly over its host.
/// Metropolis weights, which do not know hosts, would give those few edges
/// \f$ 1 / (\mathrm{ranks\ a\ host} + 1) \f$ only. Throws gossip::Error when the graph is directed
/// or of another size.
[[nodiscard]] MixingMatrix hierarchical_weights(const Graph& graph, const Hosts& hosts);

/// In even rounds the ranks of each host take their average. In round 2k + 1 one rank of each host
/// h, number k (mod ranks of the host), receives from the one of host h - 2^(k mod t),
/// t = ceil(log2 hosts), with weight 1/2, and the others rest. Doubly stochastic in every round.
/// Name: "hierarchical-one-peer".
[[nodiscard]] Schedule hierarchical_one_peer(const Hosts& hosts);

/// How many messages go from one host to another in a round.
[[nodiscard]] int arcs_between_hosts(const Schedule& schedule, const Hosts& hosts,
                                     std::int64_t round);

}  // namespace gossip::topology
