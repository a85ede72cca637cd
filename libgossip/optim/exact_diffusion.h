// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Exact diffusion for LibTorch modules.

#include <libgossip/optim/decentralized.h>

namespace gossip::optim {

/// Options of ExactDiffusion; learning rate, momentum and decay stay the local optimizer's.
struct ExactDiffusionOptions {
  /// Mixes with (I + W) / 2 instead of W, which is stable for every symmetric W. Without, the
  /// smallest eigenvalue of W must lie above -1/3.
  TORCH_ARG(bool, lazy) = true;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for a neighbor. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);
};

/// GossipSGD with the bias taken out: the result does not depend on how the ranks' data differ, at
/// the price of one more vector and of nothing on the wire (algorithm::ExactDiffusion; Yuan et al.
/// 2019, Tang et al. 2018). The topology must be a symmetric matrix that does not change.
///
/// Memory besides module and local optimizer: two copies of the model, three of models up to 1 MB.
/// On the wire: the model once a step and neighbor.
class ExactDiffusion final : public Decentralized {
 public:
  /// Throws gossip::Error, on all ranks, for a topology that changes or is not symmetric, or whose
  /// smallest eigenvalue is too small, and says which would do.
  ExactDiffusion(transport::Group& group, torch::nn::Module& module,
                 std::unique_ptr<torch::optim::Optimizer> local, const topology::Schedule& schedule,
                 const ExactDiffusionOptions& options = {});

  template <LocalOptimizer Local>
  ExactDiffusion(transport::Group& group, torch::nn::Module& module, Local local,
                 const topology::Schedule& schedule, const ExactDiffusionOptions& options = {})
      : ExactDiffusion(group, module, std::make_unique<Local>(std::move(local)), schedule,
                       options) {}
};

}  // namespace gossip::optim
