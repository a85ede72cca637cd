// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Stochastic gradient push for LibTorch modules.

#include <libgossip/optim/decentralized.h>
#include <libgossip/policy/on_lost_neighbor.h>

namespace gossip::optim {

using policy::OnLostNeighbor;

/// Options of the mixing in PushSum. Chainable: PushSumOptions().overlap(true)
struct PushSumOptions {
  /// Whether ranks go on without waiting for each other.
  TORCH_ARG(bool, overlap) = false;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a neighbor may be silent. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);
  /// What happens then.
  TORCH_ARG(OnLostNeighbor, on_lost_neighbor) = OnLostNeighbor::kError;
};

/// SGP (algorithm::PushSumSGD) and, with `overlap`, overlapped SGP (algorithm::PushSum; Assran et
/// al. 2019, arXiv 1811.10792): senders split what they have among receivers and themselves, and
/// nobody needs to answer. \f$ U \leftarrow P (U - \eta G(Z)),\ w \leftarrow P w,\ z_i = u_i / w_i
/// \f$; the module holds z. The topology may be any directed one whose rounds connect all ranks.
/// Where all its matrices are column stochastic their columns say how a sender splits; otherwise it
/// does so evenly.
///
/// Without `overlap` step() waits for the in-neighbors of the round, and all ranks make the same
/// steps; one under no_sync() moves u by the local update, and z with it. With `overlap` step()
/// never waits: see engine::OverlapWorker; ranks may make different numbers of steps, so end the
/// loop when job_steps() reaches the budget. with_mean_model(), paused() and destruction then wait
/// until all ranks come, and serve their neighbors meanwhile.
///
/// With `overlap` the update acts on z: \f$ u_i \leftarrow u_i - \eta w_i g_i(z_i) \f$. Weights
/// change all the time there, and a full step on u would move z by \f$ 1 / w_i \f$ of its length.
///
/// Conserved: the sums over all ranks of u and w, messages on their way included. with_mean_model()
/// gives the mean of u over the mean of w.
///
/// Memory besides module and local optimizer: two copies of the model (with `overlap`, or up to 1
/// MB, three; up to five then). On the wire: the model to each receiver of a round; with `overlap`
/// at most once a step.
class PushSum final : public Decentralized {
 public:
  PushSum(transport::Group& group, torch::nn::Module& module,
          std::unique_ptr<torch::optim::Optimizer> local, const topology::Schedule& schedule,
          const PushSumOptions& options = {});

  template <LocalOptimizer Local>
  PushSum(transport::Group& group, torch::nn::Module& module, Local local,
          const topology::Schedule& schedule, const PushSumOptions& options = {})
      : PushSum(group, module, std::make_unique<Local>(std::move(local)), schedule, options) {}

 private:
  [[nodiscard]] static Settings settings_of(const PushSumOptions& options);
};

}  // namespace gossip::optim
