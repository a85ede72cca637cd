// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/topology/pair_events.h>

namespace gossip::topology {

double mean_degree(const Graph& graph) {
  return static_cast<double>(graph.num_arcs()) / graph.size();
}

double events_per_edge(const Graph& graph, double exchanges) {
  return graph.num_arcs() > 0 ? 2.0 * exchanges / mean_degree(graph) : 0.0;
}

std::vector<double> times_between_events(const Graph& graph, double exchanges) {
  const double per_edge = events_per_edge(graph, exchanges);
  std::vector<double> times;
  for (Rank rank = 0; rank < graph.size(); ++rank) {
    const double events = static_cast<double>(graph.out_neighbors(rank).size()) * per_edge;
    times.push_back(events > 0.0 ? 1.0 / events : 0.0);
  }
  return times;
}

bool starts_exchanges(Rank rank, Rank neighbor, int size) {
  const int ahead = (neighbor - rank + size) % size;
  const Rank lower = std::min(rank, neighbor);
  return 2 * ahead < size || (2 * ahead == size && (rank == lower) == (lower % 2 == 0));
}

}  // namespace gossip::topology
