// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Methods whose workers take steps together, in virtual time.

#include <functional>
#include <memory>
#include <string_view>

#include <libgossip/algorithm/algorithm.h>
#include <libgossip/topology/matrices.h>

#include "convex_lab/convex_problem.h"
#include "convex_lab/gradient_source.h"
#include "convex_lab/lab_group.h"
#include "convex_lab/options.h"

namespace gossip::examples {

/// A method of stages with what it is to run with.
struct StagePlan {
  /// Of one worker.
  std::function<std::shared_ptr<const algorithm::Algorithm>(Rank worker)> make;
  topology::Matrices matrices;
  double lr = 0.0;
  GradientKind gradient = GradientKind::kFull;
  bool is_sampled = false;  ///< the worker's methods differ
  nlohmann::ordered_json constants;
};

/// The plan of a method of stages: constants from the worst of the options' graphs. Throws
/// gossip::Error for a problem without dual gradients where the method needs them.
[[nodiscard]] StagePlan make_stage_plan(std::string_view name, const ConvexProblem& problem,
                                        const LabOptions& options);

/// The plan in virtual time: a step with gradients takes as long as the slowest worker's gradient.
[[nodiscard]] std::unique_ptr<LabGroup> make_stage_group(std::string_view name,
                                                         const ConvexProblem& problem,
                                                         const LabOptions& options);

}  // namespace gossip::examples
