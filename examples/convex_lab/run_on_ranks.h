// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A run of the convex lab with one worker a rank.

#include <string>

#include <libgossip/transport/group.h>

#include "convex_lab/convex_problem.h"
#include "convex_lab/options.h"
#include "convex_lab/record.h"

namespace gossip::examples {

/// Runs one method and records it: `record` is there on rank 0, and null elsewhere. Methods of
/// stages are watched by exact means, in steps that are more and more apart; methods of pairs by a
/// LabBoard, so that nobody waits. Collective. Throws gossip::Error for methods that run in virtual
/// time only.
void run_on_ranks(const std::string& method, const ConvexProblem& problem,
                  const LabOptions& options, transport::Group& group, LabRecord* record);

}  // namespace gossip::examples
