// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Who may talk to whom at all.

#include <vector>

#include <libgossip/topology/graph.h>
#include <libgossip/topology/schedule.h>

namespace gossip::topology {

/// The undirected graph of all pairs of ranks that are neighbors in some round, in either
/// direction, under the schedule's name; of a schedule that never repeats, all pairs.
[[nodiscard]] Graph union_graph(const Schedule& schedule);

/// Levels of the ranks such that neighbors have different ones, few, and higher ones for ranks with
/// more neighbors: where a rank waits for those of higher levels only, nobody waits for itself, and
/// chains are short. A ring has two or three levels, the center of a star the higher one of two.
[[nodiscard]] std::vector<int> levels_of(const Graph& graph);

}  // namespace gossip::topology
