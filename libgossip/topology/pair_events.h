// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How the exchanges of pairs of ranks spread over the edges of an undirected graph.

#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/topology/graph.h>

namespace gossip::topology {

/// Neighbors of a rank, on average.
[[nodiscard]] double mean_degree(const Graph& graph);

/// Events that an edge has in a unit of time if all edges are used alike, and each rank starts so
/// many exchanges, on average over the ranks.
[[nodiscard]] double events_per_edge(const Graph& graph, double exchanges);

/// Between two events that a rank takes part in then, by rank; 0 of one without neighbors.
[[nodiscard]] std::vector<double> times_between_events(const Graph& graph, double exchanges);

/// Which of two neighbors starts exchanges when only one shall: every rank for about half of its
/// edges, on a ring each for the one to the next rank.
[[nodiscard]] bool starts_exchanges(Rank rank, Rank neighbor, int size);

}  // namespace gossip::topology
