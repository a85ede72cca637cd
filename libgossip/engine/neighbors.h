// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Who may talk to whom at all.

#include <libgossip/base/types.h>
#include <libgossip/topology/graph.h>
#include <libgossip/topology/schedule.h>

namespace gossip::engine {

/// The undirected graph of all pairs of ranks that are neighbors in some round, in either
/// direction, under the schedule's name; of a schedule that never repeats, all pairs.
[[nodiscard]] topology::Graph union_graph(const topology::Schedule& schedule);

/// Rank 0 warns when the rounds of a period (1000 of a schedule that never repeats) do not connect
/// all ranks. Local.
void warn_if_apart(Rank self, const topology::Schedule& schedule);

}  // namespace gossip::engine
