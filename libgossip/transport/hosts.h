// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Where the ranks of a group run.

#include <string>

#include <libgossip/topology/hosts.h>
#include <libgossip/transport/group.h>

namespace gossip::transport {

/// The name of the host that this process runs on. Local.
[[nodiscard]] std::string host_name();

/// The hosts of a group's ranks, the same on every rank: ranks that share memory are on one host.
/// For topologies that know hosts: topology::make_schedule(name, size, seed, hosts_of(session)).
/// Collective; blocks until all ranks come.
[[nodiscard]] topology::Hosts hosts_of(Group& group);

}  // namespace gossip::transport
