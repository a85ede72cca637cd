// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What methods for strongly convex losses ask of their numbers.

namespace gossip::algorithm {

/// Throws gossip::Error unless 0 < mu <= smoothness, both finite: each worker's loss is mu-strongly
/// convex and its gradient has the Lipschitz constant `smoothness`, L.
void check_convexity(double mu, double smoothness);

/// Throws gossip::Error unless `chi`, the largest over the smallest positive eigenvalue of a
/// graph's Laplacian (topology::LaplacianSpectrum), is a number of at least 1.
void check_chi(double chi);

}  // namespace gossip::algorithm
