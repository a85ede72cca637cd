// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Decoupled accelerated asynchronous optimization, for LibTorch modules.

#include <functional>

#include <libgossip/algorithm/dadao.h>
#include <libgossip/optim/decentralized.h>

namespace gossip::optim {

/// Options of DADAO. Chainable.
struct DADAOOptions {
  /// Added to the loss as \f$ \frac{wd}{2} |x|^2 \f$. At least 0.
  TORCH_ARG(double, weight_decay) = 0.0;
  /// Every rank's loss, weight decay included, is mu-strongly convex. 0: the weight decay is.
  TORCH_ARG(double, mu) = 0.0;
  /// Of the gradients of every rank's loss, weight decay included, the Lipschitz constant L. 0: the
  /// largest of the ranks' largest_curvature() of `loss`, a tenth more, plus the weight decay.
  TORCH_ARG(double, lipschitz) = 0.0;
  /// For that: the loss of this rank's data, without the weight decay. Called by the constructor
  /// only.
  TORCH_ARG(std::function<at::Tensor()>, loss) = nullptr;
  /// Times the least rate of pair events; at least 1.
  TORCH_ARG(double, safety) = 2.0;
  /// with_mean_model() shows the mean over the steps from this one on instead of the last model:
  /// for stochastic gradients. Below 0: the last model. Memory: one model.
  TORCH_ARG(std::int64_t, average_from) = -1;
  /// Of the steps in which an edge has its turn.
  TORCH_ARG(std::uint64_t, seed) = 0;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a neighbor may be silent. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);
};

/// Minimizes the sum of the ranks' losses, each strongly convex and smooth, with accelerated rates
/// both in gradients and in communications (algorithm::DADAO; Nabli and Oyallon 2023). It is its
/// own local optimizer: the parameter group's learning rate is 1 / (4 L) and says so only.
///
/// Ranks step at their own pace, and in the background they exchange one vector with each neighbor
/// in turn. Model time is counted by a rank's own exchanges: step() returns when this rank has
/// taken part in those that belong to a step, so that a slow network makes it slow but does not
/// make it diverge. When a rank leaves the loop, time stands still for all: let all of them leave
/// together.
///
/// Divergence (of losses that are not strongly convex, mu or L that are not theirs) is an error of
/// step() that names the rates. For networks see docs/dadao.md: A2CiD2 is the choice there.
///
/// Memory: seven copies of the model, with a flat gradient eight. On the wire: one model each way
/// an exchange, algorithm::dadao_least_rate() times the safety factor of them a step of all ranks.
class DADAO final : public Decentralized {
 public:
  /// Undirected topologies that connect all ranks; one that changes counts with the edges of all
  /// its rounds. Throws gossip::Error as Decentralized does, and unless 0 < mu <= L.
  DADAO(transport::Group& group, torch::nn::Module& module, const topology::Schedule& schedule,
        const DADAOOptions& options = {});

  [[nodiscard]] const algorithm::DADAOConstants& constants() const noexcept;

 private:
  struct Run;

  DADAO(transport::Group& group, torch::nn::Module& module, const topology::Schedule& schedule,
        const DADAOOptions& options, std::shared_ptr<Run> run);
  [[nodiscard]] std::vector<VectorView> evaluated() override;
  void add_state(model::StateDict& state) const override;
  [[nodiscard]] std::function<void()> plan_more(model::StateReader& saved) override;

  std::shared_ptr<Run> run_;
};

}  // namespace gossip::optim
