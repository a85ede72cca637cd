// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Topologies by name, as `--topology` takes them.

#include <cstdint>
#include <span>
#include <string_view>

#include <libgossip/topology/graph.h>
#include <libgossip/topology/hosts.h>
#include <libgossip/topology/schedule.h>

namespace gossip::topology {

/// A name that make_schedule() knows.
struct TopologyName {
  /// As it is typed, such as "random-regular:DEGREE"; capitals stand for a parameter.
  std::string_view name;
  /// One line, without a full stop.
  std::string_view description;
};

/// All names, in the order in which a list shows them.
[[nodiscard]] std::span<const TopologyName> topology_names();

/// The schedule called `name` for `size` ranks. Static graphs get their default weights. `seed`
/// matters to random topologies only. Every rank that calls with the same arguments gets the same
/// schedule.
///
/// Parameters follow a colon: "random-regular:4", "torus:4x8", "grid:2x3x4", "file:PATH",
/// "lazy:ring", "hierarchical-ring:TOPOLOGY_CONF". `hosts`: where the ranks run; only the
/// topologies named "hierarchical-..." ask for it (see transport::hosts_of()).
/// Throws gossip::Error for an unknown name (with the nearest ones), a wrong parameter, a size
/// that the topology does not have, and hosts that it needs but are not known or of another size.
[[nodiscard]] Schedule make_schedule(std::string_view name, int size, std::uint64_t seed = 0,
                                     const Hosts& hosts = {});

/// The graph of a static topology, for methods that choose weights of their own (push-sum,
/// push-pull, chi). Throws gossip::Error as make_schedule(), and for names of schedules.
[[nodiscard]] Graph make_graph(std::string_view name, int size, std::uint64_t seed = 0,
                               const Hosts& hosts = {});

}  // namespace gossip::topology
