// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The worker of one rank in the convex lab.

#include <cstddef>
#include <memory>
#include <vector>

#include <libgossip/transport/group.h>

#include "convex_lab/convex_problem.h"
#include "convex_lab/options.h"
#include "convex_lab/pairs.h"
#include "convex_lab/stages.h"

namespace gossip::examples {

/// What a rank tells about itself: what it counted so far, at these places, and then its model.
using RankNumbers = std::vector<double>;
inline constexpr std::size_t kGradients = 0;
inline constexpr std::size_t kActivations = 1;  ///< of edges; their sum over the ranks is all
inline constexpr std::size_t kBytes = 2;
inline constexpr std::size_t kModelBegin = 3;

/// One rank's worker of a method. Collective: construction, leave() and destruction.
class RankWorker {
 public:
  RankWorker() = default;
  RankWorker(const RankWorker&) = delete;
  RankWorker& operator=(const RankWorker&) = delete;
  virtual ~RankWorker() = default;

  /// One step with its gradient, which takes as long as --gradient-seconds says, and on a slow rank
  /// its multiple.
  virtual void step() = 0;

  /// Waits until nothing is on its way.
  virtual void leave() = 0;

  [[nodiscard]] virtual RankNumbers numbers() = 0;
};

/// The worker of a method of stages. All arguments must outlive it.
[[nodiscard]] std::unique_ptr<RankWorker> make_rank_worker(const StagePlan& plan,
                                                           const ConvexProblem& problem,
                                                           const LabOptions& options,
                                                           transport::Group& group);

/// The worker of a method of pairs, on the first of the options' graphs.
[[nodiscard]] std::unique_ptr<RankWorker> make_rank_worker(const PairPlan& plan,
                                                           const ConvexProblem& problem,
                                                           const LabOptions& options,
                                                           transport::Group& group);

}  // namespace gossip::examples
