// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Local steps between means over all ranks, for LibTorch modules.

#include <cstdint>
#include <string>

#include <libgossip/optim/staged.h>

namespace gossip::optim {

/// Options of LocalSGD.
struct LocalSGDOptions {
  /// Steps between two communications. At least 1.
  TORCH_ARG(std::int64_t, local_steps) = 8;
  /// Post-local SGD: before this step the models are averaged after every step.
  TORCH_ARG(std::int64_t, switch_step) = 0;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "local-sgd";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// Local SGD: the mean of all models every `local_steps` steps (Stich 2019); post-local SGD with a
/// switch step (Lin et al. 2020). The local optimizers keep their own momentum.
///
/// Memory besides module and local optimizer: none. On the wire: one all-reduce of the model every
/// `local_steps` steps.
using LocalSGD = StagedAmongAll<LocalSGDOptions>;

/// Options of HierarchicalLocalSGD.
struct HierarchicalLocalSGDOptions {
  /// Steps between two averages within a group. At least 1.
  TORCH_ARG(std::int64_t, local_steps) = 2;
  /// Steps between two averages of all, which take the place of one within a group in the same
  /// step. At least 1.
  TORCH_ARG(std::int64_t, outer_steps) = 8;
  /// Ranks with neighboring numbers that form a group, such as those of a host. The last group may
  /// be smaller.
  TORCH_ARG(int, group_size) = 2;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "hierarchical-local-sgd";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// Local SGD on two levels: often within groups of ranks, seldom among all.
///
/// Memory besides module and local optimizer: what is sent within a group, one copy of the model,
/// two up to 1 MB.
using HierarchicalLocalSGD = StagedAmongAll<HierarchicalLocalSGDOptions>;

/// Options of SlowMo.
struct SlowMoOptions {
  /// Steps between two communications. At least 1.
  TORCH_ARG(std::int64_t, local_steps) = 12;
  /// Alpha: how far the outer step goes. Positive.
  TORCH_ARG(double, slow_rate) = 1.0;
  /// Beta, at least 0 and below 1.
  TORCH_ARG(double, slow_momentum) = 0.5;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "slowmo";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// Local SGD with a slow momentum over the rounds (Wang et al. 2020; algorithm::SlowMo).
///
/// Memory besides module and local optimizer: two copies of the model. On the wire: one all-reduce
/// of the model every `local_steps` steps.
using SlowMo = StagedAmongAll<SlowMoOptions>;

/// Options of DiLoCo.
struct DiLoCoOptions {
  /// Steps between two communications. At least 1.
  TORCH_ARG(std::int64_t, local_steps) = 100;
  /// Learning rate of the outer optimizer. Positive.
  TORCH_ARG(double, outer_rate) = 0.7;
  /// Nesterov momentum of the outer optimizer, at least 0 and below 1.
  TORCH_ARG(double, outer_momentum) = 0.9;
  /// Streaming: so many parts of the model are averaged at different steps. At most local_steps.
  TORCH_ARG(int, fragments) = 1;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "diloco";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// DiLoCo (Douillard et al. 2023; algorithm::DiLoCo): AdamW inside, an outer Nesterov step on what
/// the ranks moved on average. With fragments the parts of the model take turns, so that the
/// network never carries the whole model at once.
///
/// Memory besides module and local optimizer: two copies of the model. On the wire: one all-reduce
/// of the model every `local_steps` steps.
using DiLoCo = StagedAmongAll<DiLoCoOptions>;

/// Options of Scaffold.
struct ScaffoldOptions {
  /// Steps between two communications. At least 1.
  TORCH_ARG(std::int64_t, local_steps) = 8;
  /// How far the models go towards their mean. Positive.
  TORCH_ARG(double, global_rate) = 1.0;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "scaffold";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// SCAFFOLD (Karimireddy et al. 2020; algorithm::Scaffold): local steps whose drift is corrected,
/// so that the result does not depend on how the ranks' data differ. For a local SGD without
/// momentum.
///
/// Memory besides module and local optimizer: three copies of the model. On the wire: one
/// all-reduce of the model every `local_steps` steps.
using Scaffold = StagedAmongAll<ScaffoldOptions>;

}  // namespace gossip::optim
