// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include <libgossip/engine/neighbors.h>

namespace gossip::engine {

topology::Graph union_graph(const topology::Schedule& schedule) {
  std::vector<topology::Arc> edges;
  topology::Neighborhood neighborhood;
  for (Rank rank = 0; rank < schedule.size(); ++rank) {
    for (Rank other = 0; other < rank && schedule.period() == 0; ++other) {
      edges.push_back({other, rank});
    }
    for (int round = 0; round < schedule.period(); ++round) {
      schedule.neighborhood(round, rank, neighborhood);
      for (const topology::Neighbor& sender : neighborhood.in) edges.push_back({sender.rank, rank});
    }
  }
  return topology::Graph::undirected(schedule.size(), edges, schedule.name());
}

}  // namespace gossip::engine
