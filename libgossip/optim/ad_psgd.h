// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Asynchronous decentralized SGD for LibTorch modules.

#include <libgossip/optim/decentralized.h>
#include <libgossip/policy/on_lost_neighbor.h>

namespace gossip::optim {

using policy::OnLostNeighbor;

/// Options of the exchanges in ADPSGD. Chainable: ADPSGDOptions().exchanges_per_step(0.5)
struct ADPSGDOptions {
  /// Exchanges that a rank starts per step, on average; fewer when the network is slower. Positive.
  TORCH_ARG(double, exchanges_per_step) = 1.0;
  /// Of the choice of neighbors.
  TORCH_ARG(std::uint64_t, seed) = 0;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a neighbor may be silent. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);
  /// What happens then.
  TORCH_ARG(OnLostNeighbor, on_lost_neighbor) = OnLostNeighbor::kError;
};

/// Every rank trains at its own pace and, in the background, averages with random neighbors, pair
/// by pair (algorithm::ADPSGD; Lian et al. 2018). Nobody waits for a slow rank. The topology is
/// used as an undirected graph: the pairs that are neighbors in any round. The sum over all ranks
/// of models and of what is on its way changes by the ranks' own updates only.
///
/// step() never waits for a neighbor, only for a chunk (512 KB) that is being changed. The gradient
/// is taken at the model as it was at the end of the last step; what exchanges did since is added
/// in the next.
///
/// Ranks may make different numbers of steps: end the loop when job_steps() reaches the budget.
/// with_mean_model(), paused() and destruction wait until all ranks come, and serve their neighbors
/// meanwhile.
///
/// Memory besides module and local optimizer: one copy of the model, and between hosts up to 64 MB
/// of chunks. The module's parameters lie in the host's shared memory as long as this object lives.
class ADPSGD final : public Decentralized {
 public:
  ADPSGD(transport::Group& group, torch::nn::Module& module,
         std::unique_ptr<torch::optim::Optimizer> local, const topology::Schedule& schedule,
         const ADPSGDOptions& options = {});

  template <LocalOptimizer Local>
  ADPSGD(transport::Group& group, torch::nn::Module& module, Local local,
         const topology::Schedule& schedule, const ADPSGDOptions& options = {})
      : ADPSGD(group, module, std::make_unique<Local>(std::move(local)), schedule, options) {}
};

}  // namespace gossip::optim
