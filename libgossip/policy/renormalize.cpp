// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/policy/renormalize.h>

namespace gossip::policy {
namespace {

using topology::Neighbor;
using topology::Neighborhood;

void keep(std::vector<Neighbor>& neighbors, const Mask& mask) {
  GOSSIP_CHECK(mask.size() == neighbors.size(),
               "A set of {} neighbors was given for a round with {}: it must have the same size.",
               mask.size(), neighbors.size());
  std::size_t kept = 0;
  for (std::size_t m = 0; m < mask.size(); ++m) {
    if (mask[m]) neighbors[kept++] = neighbors[m];
  }
  neighbors.resize(kept);
}

double sum_of(const std::vector<Neighbor>& neighbors) {
  double sum = 0.0;
  for (const Neighbor& neighbor : neighbors) sum += neighbor.weight;
  return sum;
}

void check_symmetric(const Neighborhood& neighborhood) {
  const auto [in, out] = std::ranges::mismatch(
      neighborhood.in, neighborhood.out,
      [](const auto& a, const auto& b) { return a.rank == b.rank && a.weight == b.weight; });
  const bool has_in = in != neighborhood.in.end();
  const bool has_out = out != neighborhood.out.end();
  if (!has_in && !has_out) return;
  const Rank rank = !has_out || (has_in && in->rank <= out->rank) ? in->rank : out->rank;
  throw Error(fmt::format(
      "Closing a round as agreed needs a symmetric mixing matrix, but the weight of rank {} is {} "
      "one way and {} the other way: take an undirected topology, such as ring or torus.",
      rank, has_in && in->rank == rank ? in->weight : 0.0,
      has_out && out->rank == rank ? out->weight : 0.0));
}

}  // namespace

void renormalize_self(Neighborhood& neighborhood, const Mask& accepted) {
  keep(neighborhood.in, accepted);
  neighborhood.self_weight = 1.0 - sum_of(neighborhood.in);
}

void renormalize_proportional(Neighborhood& neighborhood, const Mask& accepted) {
  keep(neighborhood.in, accepted);
  const double sum = neighborhood.self_weight + sum_of(neighborhood.in);
  GOSSIP_CHECK(neighborhood.in.empty() || sum > 0.0,
               "The weights that are left of a round sum to {}, so they cannot be made to sum to "
               "1: give the rest to the own value, or take weights that are not negative.",
               sum);
  for (Neighbor& neighbor : neighborhood.in) neighbor.weight /= sum;
  neighborhood.self_weight = 1.0 - sum_of(neighborhood.in);
}

void renormalize_agreed(Neighborhood& neighborhood, const Mask& used) {
  check_symmetric(neighborhood);
  keep(neighborhood.out, used);
  renormalize_self(neighborhood, used);
}

void renormalize_pushed(Neighborhood& neighborhood, const Mask& accepted, const Mask& accepted_by) {
  keep(neighborhood.in, accepted);
  keep(neighborhood.out, accepted_by);
  neighborhood.self_weight = 1.0 - sum_of(neighborhood.out);
}

}  // namespace gossip::policy
