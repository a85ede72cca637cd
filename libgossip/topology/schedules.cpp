// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/schedules.h>

namespace gossip::topology {
namespace {

/// Leaves `result` as the neighborhood of a rank that talks to nobody.
void reset(Neighborhood& result) {
  result.self_weight = 1.0;
  result.in.clear();
  result.out.clear();
}

/// Fills `order` with a random permutation of the ranks; its positions 2m and 2m + 1 are a pair.
void shuffle_ranks(int size, SplitMix64 random, std::vector<Rank>& order) {
  order.resize(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t last = order.size() - 1; last > 0; --last) {
    std::swap(order[last], order[random.below(last + 1)]);
  }
}

}  // namespace

Schedule one_peer_exponential(int size) {
  GOSSIP_CHECK(size >= 1, "Topology 'one-peer-exponential' needs at least 1 rank, not {}", size);
  const int num_offsets = ceil_log2(size);
  const auto neighborhood_of = [size, num_offsets](std::int64_t round, Rank rank,
                                                   Neighborhood& result) {
    reset(result);
    if (size == 1) return;
    const int offset = 1 << static_cast<int>(round % num_offsets);
    result.self_weight = 0.5;
    result.in.push_back({(rank - offset + size) % size, 0.5});
    result.out.push_back({(rank + offset) % size, 0.5});
  };
  return {"one-peer-exponential", size, std::max(1, num_offsets), neighborhood_of};
}

Schedule random_matching(int size, std::uint64_t seed) {
  GOSSIP_CHECK(size >= 1, "Topology 'random-matching' needs at least 1 rank, not {}", size);
  const auto neighborhood_of = [size, seed](std::int64_t round, Rank rank, Neighborhood& result) {
    thread_local std::vector<Rank> order;
    reset(result);
    shuffle_ranks(size, SplitMix64::at(seed, static_cast<std::uint64_t>(round)), order);
    const auto own =
        static_cast<std::size_t>(std::find(order.begin(), order.end(), rank) - order.begin());
    const std::size_t peer = own ^ 1U;
    if (peer >= order.size()) return;
    result.self_weight = 0.5;
    result.in.push_back({order[peer], 0.5});
    result.out.push_back({order[peer], 0.5});
  };
  return {"random-matching", size, 0, neighborhood_of, 1};
}

}  // namespace gossip::topology
