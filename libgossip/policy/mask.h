// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Sets of a rank's neighbors in a round.

#include <cstdint>
#include <span>
#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/topology/mixing_matrix.h>

namespace gossip::policy {

/// Entry m says whether the m-th neighbor is in the set, in the order of the ranks. [num_neighbors]
using Mask = std::vector<bool>;

/// The set as one word of a header: bit m is entry m. Throws gossip::Error, with the number, when
/// there are more than 64 neighbors.
[[nodiscard]] std::uint64_t to_word(const Mask& mask);

/// Whether `rank` is in a set that came as a word. `neighbors` are those of the rank that sent it,
/// sorted by rank; one that is not among them is not in the set.
[[nodiscard]] bool contains(std::uint64_t word, std::span<const topology::Neighbor> neighbors,
                            Rank rank);

/// The edges that are used when both ends must have accepted: those to the neighbors that are
/// `accepted` and in whose own sets this rank is, as `accepted_by` says. What `accepted_by` says of
/// others does not matter, so nobody needs to ask them. The result of both ends is the same.
/// Reuses the memory of `used`. Throws gossip::Error when the sizes differ.
void find_agreed(const Mask& accepted, const Mask& accepted_by, Mask& used);

}  // namespace gossip::policy
