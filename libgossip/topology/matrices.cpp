// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <set>

#include <libgossip/topology/matrices.h>
#include <libgossip/topology/union_graph.h>

namespace gossip::topology {
namespace {

int most_senders_of_both(const Matrices& matrices) {
  constexpr std::int64_t kMostRounds = 4096;
  // After so many rounds the two repeat together.
  const std::int64_t rounds = std::lcm(static_cast<std::int64_t>(matrices.pull.period()),
                                       static_cast<std::int64_t>(matrices.push.period()));
  if (rounds == 0 || rounds > kMostRounds) {
    const int most = matrices.pull.degree_bound() + matrices.push.degree_bound();
    return std::clamp(most, 1, std::max(1, matrices.pull.size() - 1));
  }
  std::size_t most = 1;
  Neighborhood pull;
  Neighborhood push;
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (Rank rank = 0; rank < matrices.pull.size(); ++rank) {
      matrices.pull.neighborhood(round, rank, pull);
      matrices.push.neighborhood(round, rank, push);
      std::set<Rank> senders;
      for (const Neighbor& sender : pull.in) senders.insert(sender.rank);
      for (const Neighbor& sender : push.in) senders.insert(sender.rank);
      most = std::max(most, senders.size());
    }
  }
  return static_cast<int>(most);
}

}  // namespace

int most_senders(const Matrices& matrices, const MatricesUsed& used) {
  if (used.pull && used.push) return most_senders_of_both(matrices);
  return std::max(1, (used.pull ? matrices.pull : matrices.push).degree_bound());
}

std::vector<Rank> neighbors_of(Rank rank, const Matrices& matrices, const MatricesUsed& used) {
  std::vector<Rank> peers;
  if (used.pull) peers = union_graph(matrices.pull).out_neighbors(rank);
  if (!used.push) return peers;
  const Graph pushes = union_graph(matrices.push);
  for (const Rank peer : pushes.out_neighbors(rank)) {
    if (std::ranges::find(peers, peer) == peers.end()) peers.push_back(peer);
  }
  return peers;
}

}  // namespace gossip::topology
