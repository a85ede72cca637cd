// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Gradient tracking over directed graphs, for LibTorch modules.

#include <cstdint>
#include <optional>
#include <string>

#include <libgossip/algorithm/push_pull.h>
#include <libgossip/optim/staged.h>
#include <libgossip/topology/directed.h>

namespace gossip::optim {

using algorithm::PushPullOrder;
using algorithm::Stepping;

/// Options of PushPull.
struct PushPullOptions {
  /// Where the mixing of the model stands.
  TORCH_ARG(PushPullOrder, order) = PushPullOrder::kPushPull;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "push-pull";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// Push-pull (Pu, Shi, Xu, Nedic 2021) and AB (Xin and Khan 2018): gradient tracking over directed
/// graphs (algorithm::PushPull). Rows and columns get weights of their own: the topology's, where
/// they sum to 1, else even ones. Where ranks do not have the same number of neighbors a weight
/// decay belongs into the loss, so that the tracker follows it: of what the local optimizer adds to
/// the tracker other ranks hear nothing, and the limit would be beside that of the loss with it.
///
/// Memory besides module and local optimizer: one copy of the model, and two for what is sent
/// (four up to 512 KB). On the wire: twice the model a step and out-neighbor. The local optimizer
/// must not change gradients in place: it gets the tracker where it is sent from.
using PushPull = Staged<PushPullOptions>;

/// Options of SampledPushPull.
struct SampledPushPullOptions {
  /// Who is active when; without: `active` of the ranks, at random. Each rank asks it of itself
  /// only, some times in a step.
  TORCH_ARG(std::optional<topology::Sampling>, sampling) = std::nullopt;
  /// The share of active ranks, at least one. Above 0, at most 1.
  TORCH_ARG(double, active) = 0.5;
  /// Of the choice.
  TORCH_ARG(std::uint64_t, seed) = 0;
  /// Which ranks step along their trackers.
  TORCH_ARG(Stepping, stepping) = Stepping::kActive;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "push-pull-device-sampling";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// Push-pull with device sampling (after Hsieh et al. 2023; algorithm::PushPull): in each step only
/// the sampled ranks compute a gradient (needs_gradient()) and send. A user's Sampling may decide
/// by what its rank alone knows (energy, price, time of day), if it gives the same answer whenever
/// it is asked of a step; names must agree. Neighbors learn from a message without values that a
/// rank is not active.
///
/// Memory and wire as PushPull, the latter from active ranks only.
using SampledPushPull = Staged<SampledPushPullOptions>;

/// Options of PushDIGing.
struct PushDIGingOptions {
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "push-diging";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// Push-DIGing (Nedic, Olshevsky, Shi 2017; algorithm::PushDIGing): push-sum with a tracker, exact
/// over directed graphs that may change. The local optimizer acts on U = w X, where w is the
/// push-sum weight: its weight decay has the limit of one in the loss.
///
/// Memory besides module and local optimizer: one copy of the model, and two for what is sent
/// (four up to 512 KB). On the wire: twice the model a step and out-neighbor. The local optimizer
/// must not change gradients in place: it gets the tracker where it is sent from.
using PushDIGing = Staged<PushDIGingOptions>;

}  // namespace gossip::optim
