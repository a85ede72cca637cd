// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How the two ends of an edge agree, in the headers of their messages, whether a round uses it.
///
/// Nobody weighs an edge by what he alone knows: it is used when both headers say so, with a weight
/// that both can compute from the two. Then rows and columns sum to one whatever each rank thinks
/// of the others.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/topology/mixing_matrix.h>

namespace gossip::transport {

/// Neighbors of a rank in a round that fit into a header.
inline constexpr std::size_t kMostEdgesInUse = 64;

/// For Header::uses: a bit for each neighbor, the lowest for the first, set where `is_used` of its
/// rank is true.
template <class IsUsed>
[[nodiscard]] std::uint64_t edges_in_use(const std::vector<topology::Neighbor>& neighbors,
                                         const IsUsed& is_used) {
  std::uint64_t mask = 0;
  for (std::size_t k = 0; k < std::min(neighbors.size(), kMostEdgesInUse); ++k) {
    if (is_used(neighbors[k].rank)) mask |= std::uint64_t{1} << k;
  }
  return mask;
}

/// Whether a header says that its sender, who has these neighbors in the round, uses the edge to
/// `rank`.
[[nodiscard]] inline bool is_in_use(std::uint64_t mask,
                                    const std::vector<topology::Neighbor>& neighbors, Rank rank) {
  const auto neighbor = std::ranges::find(neighbors, rank, &topology::Neighbor::rank);
  const auto k = static_cast<std::size_t>(neighbor - neighbors.begin());
  return k < std::min(neighbors.size(), kMostEdgesInUse) && (mask >> k & 1U) == 1U;
}

/// The weight of an edge whose ends used so many edges in the round before, as both headers say
/// (Header::degree): Metropolis' rule with numbers that both ends know.
[[nodiscard]] constexpr double metropolis_weight(std::uint16_t one, std::uint16_t other) noexcept {
  return 1.0 / (1.0 + std::max(one, other));
}

}  // namespace gossip::transport
