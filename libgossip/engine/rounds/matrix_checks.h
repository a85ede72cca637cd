// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Whether mixing matrices are what a method needs, and what they need.

#include <vector>

#include <libgossip/algorithm/algorithm.h>
#include <libgossip/base/types.h>
#include <libgossip/engine/rounds/mixer.h>

namespace gossip::engine {

/// Throws gossip::Error, which names the topology and what would do, unless the matrices have the
/// sums, the symmetry and the eigenvalues that the method converges with. Local.
void check_matrices(const Matrices& matrices, const algorithm::Algorithm& algorithm);

/// Throws gossip::Error, which names the topology and what would do, unless a rank can go on
/// without a neighbor: they are mutual in every round, and few enough for a header to name. Local.
void check_may_drop(const topology::Schedule& schedule);

/// The most ranks that a rank receives from in one round, by either matrix; at least 1.
[[nodiscard]] int most_senders(const Matrices& matrices, bool is_pushing);

/// The neighbors of `rank` in any round, by the matrix that pulls and, if asked, the one that
/// pushes.
[[nodiscard]] std::vector<Rank> neighbors_of(Rank rank, const Matrices& matrices, bool is_pushing);

}  // namespace gossip::engine
