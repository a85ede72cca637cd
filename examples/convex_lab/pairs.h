// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Methods of pair events in virtual time.

#include <memory>
#include <string_view>
#include <vector>

#include <libgossip/algorithm/dadao.h>
#include <libgossip/algorithm/pair_algorithm.h>
#include <libgossip/topology/spectral.h>

#include "convex_lab/convex_problem.h"
#include "convex_lab/lab_group.h"
#include "convex_lab/options.h"

namespace gossip::examples {

/// A method of pairs with what it is to run with.
struct PairPlan {
  std::shared_ptr<const algorithm::PairAlgorithm> method;
  /// Of each of the graphs that take turns.
  std::vector<std::vector<topology::EdgeIntensity>> edges;
  /// A local step takes `gradient_factor` times the gradient.
  double gradient_factor = 1.0;
  /// `theory_rate`: of the error's fall per unit of model time that the theory guarantees.
  nlohmann::ordered_json constants;
};

/// The plan of "dadao", "ad-psgd" or "a2cid2": constants from the worst of the options' graphs.
/// Throws gossip::Error as these methods' constants.
[[nodiscard]] PairPlan make_pair_plan(std::string_view name, const ConvexProblem& problem,
                                      const LabOptions& options);

/// The constants by name, and the least rate of events.
[[nodiscard]] nlohmann::ordered_json describe(const algorithm::DADAOConstants& constants);

/// The plan in virtual time: gradients at rate 1 at each worker, 1 / factor at a slow one.
[[nodiscard]] std::unique_ptr<LabGroup> make_pair_group(std::string_view name,
                                                        const ConvexProblem& problem,
                                                        const LabOptions& options);

}  // namespace gossip::examples
