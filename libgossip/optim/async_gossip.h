// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Asynchronous gossip for LibTorch modules.

#include <libgossip/algorithm/async_gossip.h>
#include <libgossip/optim/decentralized.h>
#include <libgossip/policy/on_lost_neighbor.h>

namespace gossip::optim {

using policy::OnLostNeighbor;

/// Options of the mixing in AsyncGossip. Chainable: AsyncGossipOptions().exponent(1.0)
struct AsyncGossipOptions {
  /// How fast old models lose weight; 0: they do not. At least 0.
  TORCH_ARG(double, exponent) = algorithm::AsyncGossip::kExponent;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a neighbor may be silent. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);
  /// What happens then.
  TORCH_ARG(OnLostNeighbor, on_lost_neighbor) = OnLostNeighbor::kError;
};

/// Every rank trains at its own pace, publishes its model after each step and mixes with the newest
/// ones that its neighbors have published: \f$ x_i \leftarrow x_i + \sum_j w_{ij} (1 + s_j)^{-a}
/// (x_j
/// - x_i) \f$ with the staleness \f$ s_j \f$ in own steps (algorithm::AsyncGossip; Xie, Koyejo,
/// Gupta 2019, arXiv 1903.03934, for the damping). Nobody waits. The topology's matrices must be
/// row stochastic; the graph may be directed.
///
/// The mean over the ranks is *not* conserved: the gradients pull it back. Where that matters take
/// ADPSGD or PushSum.
///
/// Ranks may make different numbers of steps: end the loop when job_steps() reaches the budget.
/// with_mean_model(), paused() and destruction wait until all ranks come.
///
/// Memory besides module and local optimizer: three copies of the model, and two more for each
/// neighbor on another host. On the wire: the model to each neighbor at most once a step.
class AsyncGossip final : public Decentralized {
 public:
  AsyncGossip(transport::Group& group, torch::nn::Module& module,
              std::unique_ptr<torch::optim::Optimizer> local, const topology::Schedule& schedule,
              const AsyncGossipOptions& options = {});

  template <LocalOptimizer Local>
  AsyncGossip(transport::Group& group, torch::nn::Module& module, Local local,
              const topology::Schedule& schedule, const AsyncGossipOptions& options = {})
      : AsyncGossip(group, module, std::make_unique<Local>(std::move(local)), schedule, options) {}
};

}  // namespace gossip::optim
