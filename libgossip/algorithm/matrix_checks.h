// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Whether mixing matrices are what a method needs.

#include <libgossip/algorithm/algorithm.h>
#include <libgossip/topology/matrices.h>

namespace gossip::algorithm {

/// Throws gossip::Error, which names the topology and what would do, unless the matrices have the
/// sums, the symmetry and the eigenvalues that the method converges with. Local.
void check_matrices(const topology::Matrices& matrices, const Algorithm& algorithm);

}  // namespace gossip::algorithm
