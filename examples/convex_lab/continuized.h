// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Continuized decentralized optimization in the convex lab.

#include <memory>

#include "convex_lab/convex_problem.h"
#include "convex_lab/lab_group.h"
#include "convex_lab/options.h"

namespace gossip::examples {

/// All workers, with one event of the whole network a unit of time on a random edge. Throws
/// gossip::Error for a problem without dual gradients, and for several topologies.
[[nodiscard]] std::unique_ptr<LabGroup> make_continuized_group(const ConvexProblem& problem,
                                                               const LabOptions& options);

}  // namespace gossip::examples
