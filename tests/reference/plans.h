// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How this library runs the algorithms of the reference.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <libgossip/algorithm/algorithm.h>
#include <libgossip/engine/rounds/staged_worker.h>

#include "reference/problem.h"

namespace gossip::test {

/// Vectors by worker.
using Rows = std::vector<std::vector<double>>;

/// The state of all workers after some iterations: rows by worker.
struct ReferenceSnapshot {
  Rows x;
  Rows momentum;            ///< of the local update
  std::vector<Rows> state;  ///< the method's own vectors
  std::vector<double> weights;
};

/// How an algorithm of the file is run with this library.
struct ReferencePlan {
  /// Of one worker.
  std::function<std::shared_ptr<const algorithm::Algorithm>(Rank rank)> make = {};
  std::optional<topology::Matrices> matrices = {};
  double rate = 0.0;
  double momentum = 0.0;
  std::int64_t steps_per_iteration = 1;
  bool has_common_start = false;
  bool is_averaging_only = false;
  /// What the file shows of a state besides x.
  std::function<nlohmann::ordered_json(const ReferenceSnapshot&)> arrays =
      [](const ReferenceSnapshot&) { return nlohmann::ordered_json::object(); };
};

/// Of the algorithm `name` on a problem, which must outlive the plan.
using MakeReferencePlan =
    std::function<ReferencePlan(const ReferenceProblem& problem, const std::string& name)>;

/// By the names of the file.
[[nodiscard]] const std::map<std::string, MakeReferencePlan>& reference_plans();

}  // namespace gossip::test
