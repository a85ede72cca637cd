// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The all-reduce baseline for LibTorch modules.

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <libgossip/optim/decentralized.h>

namespace gossip::optim {

/// Chainable: AllReduceOptions().bucket_bytes(1 << 20)
struct AllReduceOptions {
  /// Gradients travel in pieces of this size, started during the backward pass. Must be positive.
  TORCH_ARG(std::int64_t, bucket_bytes) = std::int64_t{4} << 20;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for the other ranks. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);
};

/// Synchronous data-parallel SGD, the baseline: every step uses the mean of all ranks' gradients.
/// Gradients are copied into buckets as the backward pass completes them (hooks) and averaged by
/// Group::make_mean() meanwhile; step() or synchronize() waits for the rest and writes the mean
/// back. A parameter that is unused on some ranks gets the mean with zeros for those; one that is
/// unused on all keeps its undefined gradient. Of several passes before one step() all but the last
/// are communication for nothing; a rank that makes another pass, because one failed or by itself,
/// makes all ranks start their mean over, with the gradients as they are at step(). Passes under
/// no_sync() and inside paused() or with_mean_model() count as well, wherever they stand.
///
/// After an error of step() or synchronize() the parameters are as before the step, the gradients
/// this rank's own; with_mean_model() and the destructor work, another step() throws gossip::Error.
///
/// Memory besides module and local optimizer: one copy of the model (none with one rank). On the
/// wire: 2(n-1)/n of the model a step, nominally.
class AllReduce final : public Decentralized {
 public:
  AllReduce(transport::Group& group, torch::nn::Module& module,
            std::unique_ptr<torch::optim::Optimizer> local, const AllReduceOptions& options = {});

  template <LocalOptimizer Local>
  AllReduce(transport::Group& group, torch::nn::Module& module, Local local,
            const AllReduceOptions& options = {})
      : AllReduce(group, module, std::make_unique<Local>(std::move(local)), options) {}

  ~AllReduce() override;

  void synchronize() override;

 private:
  class Hooks;

  void complete_started() override;
  [[nodiscard]] bool has_mean_gradient() const override { return synchronized_step_ == steps(); }
  /// Steps begin again at a number that may have been averaged.
  [[nodiscard]] std::function<void()> plan_more(model::StateReader& /*saved*/) override {
    return [this] { synchronized_step_ = -1; };
  }
  void gradient_is_ready(std::size_t entry);
  [[nodiscard]] bool has_started() const;
  void gather(std::size_t entry);
  void complete();
  [[nodiscard]] bool finish_mean(bool is_whole);
  void drop_mean();

  std::vector<bool> is_gathered_;                     // per parameter, since the last synchronize()
  std::vector<std::vector<std::size_t>> buckets_of_;  // per parameter: the buckets it lies in
  std::vector<std::size_t> parameters_in_;            // per bucket
  std::vector<std::size_t> missing_in_;               // per bucket, since the last synchronize()
  bool is_in_pass_ = false;                           // of the backward pass
  bool is_stale_ = false;                // what is gathered lacks the gradients of a suspended pass
  std::int64_t synchronized_step_ = -1;  // the step whose gradients hold the mean already
  std::unique_ptr<Hooks> hooks_;
};

}  // namespace gossip::optim
