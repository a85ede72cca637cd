// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Optimizers by name, as `--optimizer` takes them.

#include <memory>
#include <span>
#include <string_view>

#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/optim/decentralized.h>
#include <libgossip/optim/gossip_sgd.h>
#include <libgossip/policy/on_lost_neighbor.h>

namespace gossip::optim {

using algorithm::TrackingOrder;
using policy::OnLostNeighbor;

/// A name that make_optimizer() knows.
struct OptimizerName {
  std::string_view name;         ///< "gossip-sgd"
  std::string_view description;  ///< one line, without a full stop
  std::string_view paper;
  int state = 0;                 ///< vectors of its own, beside model and gradient
  std::string_view wire;         ///< what it sends: "1 a step"; in vectors, to each neighbor
  std::string_view graphs;       ///< which topologies it takes
  bool is_asynchronous = false;  ///< ranks step at their own pace; push-sum: with `overlap` only
  bool may_drop = false;         ///< takes OnLostNeighbor::kDrop; the others refuse it
};

/// All names, in the order in which a list shows them.
[[nodiscard]] std::span<const OptimizerName> optimizer_names();

/// What the methods can be told; a method reads what concerns it.
struct OptimizerOptions {
  MixingOrder order = MixingOrder::kAdaptThenCombine;
  TrackingOrder tracking_order = TrackingOrder::kSemiATC;
  std::int64_t local_steps = 1;
  std::int64_t outer_steps = 8;  ///< hierarchical-local-sgd
  std::int64_t switch_step = 0;  ///< local-sgd: local steps from this step on only
  int group_size = 2;            ///< hierarchical-local-sgd
  double method_momentum = 0.9;  ///< of methods that have a momentum of their own
  double outer_rate = 0.7;       ///< diloco
  int fragments = 1;             ///< diloco
  bool lazy = true;              ///< exact-diffusion, led: mixes with (I + W) / 2
  double active = 0.5;           ///< push-pull-device-sampling: share of active ranks
  double compression = 0.01;     ///< share of the entries that is sent
  double consensus_rate = 0.1;   ///< choco-sgd, deep-squeeze
  double exchanges_per_step = 1.0;
  double weight_decay = 0.0;  ///< dadao, whose local optimizer is its own
  double mu = 0.0;            ///< dadao; 0: the weight decay
  double lipschitz = 0.0;     ///< dadao: the constant L, which must be given
  double safety = 2.0;        ///< dadao
  bool overlap = false;
  std::uint64_t seed = 0;                                    ///< of the choice of neighbors
  OnLostNeighbor on_lost_neighbor = OnLostNeighbor::kError;  ///< see OptimizerName::may_drop
  Initial initial = Initial::kBroadcast;
  std::chrono::milliseconds timeout = std::chrono::minutes(5);
};

/// The optimizer called `name`. Collective, as the optimizers' constructors. `schedule` is not used
/// by methods without neighbors (allreduce). Throws gossip::Error for an unknown name, with the
/// nearest ones, and for a method that cannot drop a lost neighbor but is told to, before anything
/// collective.
[[nodiscard]] std::unique_ptr<Decentralized> make_optimizer(
    std::string_view name, transport::Group& group, torch::nn::Module& module,
    std::unique_ptr<torch::optim::Optimizer> local, const topology::Schedule& schedule,
    const OptimizerOptions& options = {});

/// Throws gossip::Error, with the nearest names, unless make_optimizer() knows `name`. Local.
void check_optimizer_name(std::string_view name);

/// Whether ranks step at their own pace, so that a run ends by job_steps(). Throws gossip::Error
/// for an unknown name. Local.
[[nodiscard]] bool is_asynchronous(std::string_view name, const OptimizerOptions& options);

/// "error" or "drop"; throws gossip::Error for others.
[[nodiscard]] OnLostNeighbor on_lost_neighbor(std::string_view name);

/// The mixing order called "atc", "cta" or "diffusion"; throws gossip::Error for others.
[[nodiscard]] MixingOrder mixing_order(std::string_view name);

/// "semi-atc", "diging" or "atc"; throws gossip::Error for others.
[[nodiscard]] TrackingOrder tracking_order(std::string_view name);

}  // namespace gossip::optim
