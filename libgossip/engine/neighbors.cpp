// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/engine/neighbors.h>
#include <libgossip/topology/checks.h>

namespace gossip::engine {

void check_size(std::string_view name, int size, const transport::Group& group) {
  GOSSIP_CHECK(size == group.size(),
               "The topology '{}' is made for {} ranks, but the group has {}: make it with the "
               "group's size.",
               name, size, group.size());
}

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

void warn_if_apart(Rank self, const topology::Schedule& schedule) {
  constexpr std::int64_t kRoundsExamined = 1000;
  const std::int64_t rounds = schedule.period() > 0 ? schedule.period() : kRoundsExamined;
  if (self != 0 || topology::rounds_to_connect(schedule, rounds)) return;
  log(LogLevel::kWarning, self,
      "the topology '{}' does not connect all ranks in the {} rounds examined: parts of them train "
      "apart",
      schedule.name(), rounds);
}

std::vector<int> levels_of(const topology::Graph& graph) {
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

}  // namespace gossip::engine
