// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>

#include <libgossip/base/error.h>
#include <libgossip/policy/mask.h>

namespace gossip::policy {
namespace {

constexpr std::size_t kMostNeighbors = 64;

}  // namespace

std::uint64_t to_word(const Mask& mask) {
  GOSSIP_CHECK(mask.size() <= kMostNeighbors,
               "A set of {} neighbors does not fit into a header: a rank may have at most {} of "
               "them in a round, so take a topology with fewer.",
               mask.size(), kMostNeighbors);
  std::uint64_t word = 0;
  for (std::size_t m = 0; m < mask.size(); ++m) {
    word |= static_cast<std::uint64_t>(mask[m]) << m;
  }
  return word;
}

bool contains(std::uint64_t word, std::span<const topology::Neighbor> neighbors, Rank rank) {
  const auto found = std::ranges::lower_bound(neighbors, rank, {}, &topology::Neighbor::rank);
  if (found == neighbors.end() || found->rank != rank) return false;
  const auto bit = static_cast<std::size_t>(found - neighbors.begin());
  return bit < kMostNeighbors && ((word >> bit) & 1U) != 0;
}

void find_agreed(const Mask& accepted, const Mask& accepted_by, Mask& used) {
  GOSSIP_CHECK(accepted.size() == accepted_by.size(),
               "The sets of {} and of {} neighbors are not of the same round: they must have the "
               "same size.",
               accepted.size(), accepted_by.size());
  used.resize(accepted.size());
  for (std::size_t m = 0; m < used.size(); ++m) used[m] = accepted[m] && accepted_by[m];
}

}  // namespace gossip::policy
