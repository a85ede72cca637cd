// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Gradient tracking for LibTorch modules.

#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/engine/lost_neighbor.h>
#include <libgossip/optim/decentralized.h>

namespace gossip::optim {

using algorithm::TrackingOrder;
using engine::OnLostNeighbor;

/// Options of GradientTracking; learning rate, momentum and decay stay the local optimizer's.
struct GradientTrackingOptions {
  /// What is mixed when.
  TORCH_ARG(TrackingOrder, order) = TrackingOrder::kSemiATC;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for a neighbor. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);
};

/// Each rank follows the mean of all ranks' gradients and gives that to its local optimizer, so the
/// result does not depend on how the ranks' data differ: \f$ X \leftarrow W (X - \eta Y),\ Y
/// \leftarrow W Y + G(X) - G(X_{old}) \f$ (algorithm::GradientTracking; Di Lorenzo and Scutari
/// 2016; Pu and Nedic 2021). All matrices of the topology must be doubly stochastic.
///
/// After step() the module's gradients hold the tracker. A parameter without a gradient on this rank
/// gets one.
///
/// Memory besides module and local optimizer: three copies of the model, and two for what is sent
/// (four up to 512 KB). On the wire: twice the model a step and out-neighbor.
class GradientTracking final : public Decentralized {
 public:
  GradientTracking(transport::Group& group, torch::nn::Module& module,
                   std::unique_ptr<torch::optim::Optimizer> local, topology::Schedule schedule,
                   const GradientTrackingOptions& options = {});

  template <LocalOptimizer Local>
  GradientTracking(transport::Group& group, torch::nn::Module& module, Local local,
                   topology::Schedule schedule, const GradientTrackingOptions& options = {})
      : GradientTracking(group, module, std::make_unique<Local>(std::move(local)),
                         std::move(schedule), options) {}
};

}  // namespace gossip::optim
