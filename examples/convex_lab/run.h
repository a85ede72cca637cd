// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A run of the convex lab from its start to its end.

#include <string>

#include "convex_lab/convex_problem.h"
#include "convex_lab/options.h"
#include "convex_lab/record.h"

namespace gossip::examples {

/// Of the workers' models, where models of 0 have the squared distance `first`.
[[nodiscard]] LabError error_of(const std::vector<std::span<const double>>& models,
                                std::span<const double> optimum, double first);

/// What the first line of a run says.
[[nodiscard]] nlohmann::ordered_json describe_run(const ConvexProblem& problem,
                                                  const LabOptions& options,
                                                  nlohmann::ordered_json constants);

/// What a run that diverged can say about itself: the rates of events planned, achieved and needed,
/// per unit of the counts' model time. Empty for methods without a rate.
[[nodiscard]] std::string remark_on_divergence(const nlohmann::ordered_json& constants,
                                               const LabCounts& counts, int workers);

/// Finds out when a run is at its end.
class LabEnd {
 public:
  explicit LabEnd(const LabOptions& options) : options_(options) {}

  /// "reached", "stopped" (by a limit), "stalled" (the error has long been what it is), "diverged";
  /// nothing while the run goes on.
  [[nodiscard]] std::optional<std::string> status(const LabCounts& counts, double error);

 private:
  const LabOptions& options_;
  double best_ = 1.0;
  double gradients_at_best_ = 0.0;
};

/// Runs one method in this process and records it.
void run_in_virtual_time(const std::string& method, const ConvexProblem& problem,
                         const LabOptions& options, LabRecord& record);

}  // namespace gossip::examples
