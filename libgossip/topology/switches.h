// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The tree of switches between hosts, from Slurm's topology.conf.

#include <istream>
#include <string>

#include <libgossip/topology/hosts.h>

namespace gossip::topology {

/// `hosts` in the order in which the tree of switches in a file names them, depth first, so that
/// hosts with neighboring numbers share a switch where they can. The file is Slurm's topology.conf
/// (topology/tree), a switch a line:
///
///     SwitchName=leaf1 Nodes=node[1-4,7]
///     SwitchName=leaf2 Nodes=node[5-6]
///     SwitchName=spine Switches=leaf[1-2]
///
/// Case does not matter in keys; LinkSpeed does not count, nor what follows a '#'; a line that ends
/// with a backslash goes on in the next one. A host is found by its name, or by its name up to the
/// first dot. Hosts of the file without a rank do not count.
/// Throws gossip::Error naming file and line for what cannot be read, switches that are not a
/// forest, and, naming the host, when it is not in the file.
[[nodiscard]] Hosts ordered_by_switches(const Hosts& hosts, const std::string& path);

/// The same from a stream; `name` stands for the file in messages.
[[nodiscard]] Hosts ordered_by_switches(const Hosts& hosts, std::istream& stream,
                                        const std::string& name);

}  // namespace gossip::topology
