// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Decentralized SGD for LibTorch modules.

#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/optim/decentralized.h>
#include <libgossip/policy/on_lost_neighbor.h>

namespace gossip::optim {

using algorithm::MixingOrder;
using policy::OnLostNeighbor;

/// Options of the mixing in GossipSGD; learning rate, momentum and decay stay the local
/// optimizer's. Chainable: GossipSGDOptions().order(MixingOrder::kCombineThenAdapt).local_steps(4)
struct GossipSGDOptions {
  /// Whether neighbors see the model before or after the local update.
  TORCH_ARG(MixingOrder, order) = MixingOrder::kAdaptThenCombine;
  /// Optimizer steps between two mixings. Must be >= 1.
  TORCH_ARG(std::int64_t, local_steps) = 1;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for a neighbor. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);
  /// What happens then. Dropping needs a topology whose neighbors are mutual in every round.
  TORCH_ARG(OnLostNeighbor, on_lost_neighbor) = OnLostNeighbor::kError;
};

/// Trains with any local optimizer and averages parameters with the topology's neighbors instead of
/// all-reducing gradients: \f$ X \leftarrow W (X - \eta G(X)) \f$ and its relatives
/// (algorithm::GossipSGD; Lian et al. 2017). The topology may change by round; all its matrices
/// must be doubly stochastic.
///
/// Memory besides module and local optimizer: one copy of the model, two if it has up to 1 MB (none
/// with one rank). On the wire: the model once per mixing and out-neighbor.
///
/// With MixingOrder::kDiffusion the module holds the *mixed* model P between steps.
class GossipSGD final : public Decentralized {
 public:
  GossipSGD(transport::Group& group, torch::nn::Module& module,
            std::unique_ptr<torch::optim::Optimizer> local, const topology::Schedule& schedule,
            const GossipSGDOptions& options = {});

  template <LocalOptimizer Local>
  GossipSGD(transport::Group& group, torch::nn::Module& module, Local local,
            const topology::Schedule& schedule, const GossipSGDOptions& options = {})
      : GossipSGD(group, module, std::make_unique<Local>(std::move(local)), schedule, options) {}
};

}  // namespace gossip::optim
