// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Who may talk to whom at all.

#include <string_view>
#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/topology/graph.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

/// Throws gossip::Error unless a topology of this name is made for as many ranks as the group has.
void check_size(std::string_view name, int size, const transport::Group& group);

/// The undirected graph of all pairs of ranks that are neighbors in some round, in either
/// direction, under the schedule's name; of a schedule that never repeats, all pairs.
[[nodiscard]] topology::Graph union_graph(const topology::Schedule& schedule);

/// Rank 0 warns when the rounds of a period (1000 of a schedule that never repeats) do not connect
/// all ranks. Local.
void warn_if_apart(Rank self, const topology::Schedule& schedule);

/// Levels of the ranks such that neighbors have different ones, few, and higher ones for ranks with
/// more neighbors: where a rank waits for those of higher levels only, nobody waits for itself, and
/// chains are short. A ring has two or three levels, the center of a star the higher one of two.
[[nodiscard]] std::vector<int> levels_of(const topology::Graph& graph);

}  // namespace gossip::engine
