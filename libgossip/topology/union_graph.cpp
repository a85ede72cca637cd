// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <numeric>

#include <libgossip/topology/union_graph.h>

namespace gossip::topology {

Graph union_graph(const Schedule& schedule) {
  std::vector<Arc> edges;
  Neighborhood neighborhood;
  for (Rank rank = 0; rank < schedule.size(); ++rank) {
    for (Rank other = 0; other < rank && schedule.period() == 0; ++other) {
      edges.push_back({other, rank});
    }
    for (int round = 0; round < schedule.period(); ++round) {
      schedule.neighborhood(round, rank, neighborhood);
      for (const Neighbor& sender : neighborhood.in) edges.push_back({sender.rank, rank});
    }
  }
  return Graph::undirected(schedule.size(), edges, schedule.name());
}

std::vector<int> levels_of(const Graph& graph) {
  std::vector<Rank> order(static_cast<std::size_t>(graph.size()));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](Rank rank) { return graph.out_neighbors(rank).size(); });
  constexpr int kNone = -1;
  std::vector<int> levels(order.size(), kNone);
  for (const Rank rank : order) {
    const auto is_taken = [&](int level) {
      return std::ranges::any_of(graph.out_neighbors(rank), [&](Rank neighbor) {
        return levels[static_cast<std::size_t>(neighbor)] == level;
      });
    };
    int level = 0;
    while (is_taken(level)) ++level;
    levels[static_cast<std::size_t>(rank)] = level;
  }
  return levels;
}

}  // namespace gossip::topology
