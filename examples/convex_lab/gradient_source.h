// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What a method takes for a worker's gradient.

#include <cstdint>
#include <memory>
#include <span>

#include "convex_lab/convex_problem.h"

namespace gossip::examples {

enum class GradientKind {
  kFull,         ///< of the whole function
  kDual,         ///< of its conjugate
  kSaga,         ///< of one component, corrected by a table of the components' last gradients
  kLooplessSvrg  ///< of one component, corrected by a full gradient that is renewed at random
};

/// One worker's gradients, and how many they were.
class GradientSource {
 public:
  GradientSource() = default;
  GradientSource(const GradientSource&) = delete;
  GradientSource& operator=(const GradientSource&) = delete;
  virtual ~GradientSource() = default;

  /// result = the gradient, or an estimate of it, at `x`.
  virtual void write(std::span<const double> x, std::span<double> result) = 0;

  /// Gradients of the worker's function so far; one of a component counts as 1 / m.
  [[nodiscard]] virtual double count() const = 0;
};

/// The source of one worker; `problem` must outlive it. Components are drawn from `seed`. Throws
/// gossip::Error for kDual where the problem has no dual gradient.
[[nodiscard]] std::unique_ptr<GradientSource> make_gradient_source(GradientKind kind,
                                                                   const ConvexProblem& problem,
                                                                   Rank worker, std::uint64_t seed);

}  // namespace gossip::examples
