// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Asynchronous decentralized SGD with a continuous momentum, for LibTorch modules.

#include <libgossip/optim/decentralized.h>
#include <libgossip/policy/on_lost_neighbor.h>

namespace gossip::optim {

using policy::OnLostNeighbor;

/// Options of the exchanges in A2CiD2. Chainable.
struct A2CiD2Options {
  /// Exchanges that a rank starts per step, on average; fewer when the network is slower. Positive.
  TORCH_ARG(double, exchanges_per_step) = 1.0;
  /// Multiplies the momentum's rate eta; 0: 1 inside a host, and 1/2 between hosts, where one half
  /// of an exchange is late.
  TORCH_ARG(double, eta_factor) = 0.0;
  /// Of the choice of neighbors.
  TORCH_ARG(std::uint64_t, seed) = 0;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a neighbor may be silent. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);
  /// What happens then.
  TORCH_ARG(OnLostNeighbor, on_lost_neighbor) = OnLostNeighbor::kError;
};

/// As ADPSGD, with a second vector that accelerates the averaging on graphs that connect badly
/// (algorithm::A2CiD2; Nabli, Belilovsky, Oyallon 2023): on a ring of 32 it averages 5.6 times
/// faster for the same communication. Model time is counted by a rank's own exchanges. The sum of
/// both vectors over all ranks, and of what is on its way, changes by the ranks' own updates only.
///
/// Memory: one copy of the model more than ADPSGD; on the wire as ADPSGD.
class A2CiD2 final : public Decentralized {
 public:
  A2CiD2(transport::Group& group, torch::nn::Module& module,
         std::unique_ptr<torch::optim::Optimizer> local, const topology::Schedule& schedule,
         const A2CiD2Options& options = {});

  template <LocalOptimizer Local>
  A2CiD2(transport::Group& group, torch::nn::Module& module, Local local,
         const topology::Schedule& schedule, const A2CiD2Options& options = {})
      : A2CiD2(group, module, std::make_unique<Local>(std::move(local)), schedule, options) {}
};

}  // namespace gossip::optim
