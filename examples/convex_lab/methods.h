// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The methods of the convex lab by name.

#include <memory>
#include <span>
#include <string_view>

#include "convex_lab/convex_problem.h"
#include "convex_lab/lab_group.h"
#include "convex_lab/options.h"

namespace gossip::examples {

/// How a method is run.
enum class LabKind {
  kPairs,   ///< events of pairs of workers, gradients at any time
  kStages,  ///< steps of all workers together
  kDual,    ///< events of pairs, each with gradients of the conjugates
  kTheory,  ///< not run: the rate of its theory as a line
};

/// A method that the lab knows.
struct LabMethodName {
  std::string_view name;
  LabKind kind;
  std::string_view description;  ///< one line, without a full stop
};

/// All of them, in the order in which a list shows them.
[[nodiscard]] std::span<const LabMethodName> lab_methods();

/// Throws gossip::Error for an unknown name, with the near ones.
[[nodiscard]] LabKind kind_of(std::string_view name);

/// The method called `name` on all workers of `problem`, which must outlive it. All models are 0.
/// Throws gossip::Error for an unknown name, and for a problem or options that the method does not
/// bear.
[[nodiscard]] std::unique_ptr<LabGroup> make_lab_group(std::string_view name,
                                                       const ConvexProblem& problem,
                                                       const LabOptions& options);

}  // namespace gossip::examples
