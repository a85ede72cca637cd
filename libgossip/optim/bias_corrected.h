// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Methods that bear data that differ between ranks, for LibTorch modules.

#include <cstdint>
#include <string>

#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/optim/staged.h>

namespace gossip::optim {

using algorithm::TrackingOrder;

/// Options of GradientTracking; learning rate, momentum and decay stay the local optimizer's.
struct GradientTrackingOptions {
  /// What is mixed when.
  TORCH_ARG(TrackingOrder, order) = TrackingOrder::kSemiATC;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "gradient-tracking";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// Each rank follows the mean of all ranks' gradients and gives that to its local optimizer, so the
/// result does not depend on how the ranks' data differ: \f$ X \leftarrow W (X - \eta Y),\ Y
/// \leftarrow W Y + G(X) - G(X_{old}) \f$ (algorithm::GradientTracking; Di Lorenzo and Scutari
/// 2016; Pu and Nedic 2021). All matrices of the topology must be doubly stochastic.
///
/// After step() the module's gradients are this rank's own again, undefined ones too.
///
/// Memory besides module and local optimizer: one copy of the model (order kATC: two), and two for
/// what is sent (four up to 512 KB). On the wire: twice the model a step and out-neighbor. The
/// local optimizer must not change gradients in place: it gets the tracker where it is sent from.
using GradientTracking = Staged<GradientTrackingOptions>;

/// Options of ExactDiffusion; learning rate, momentum and decay stay the local optimizer's.
struct ExactDiffusionOptions {
  /// Mixes with (I + W) / 2 instead of W, which is stable for every symmetric W.
  TORCH_ARG(bool, lazy) = true;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "exact-diffusion";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// GossipSGD with the bias taken out: the result does not depend on how the ranks' data differ, at
/// the price of one more vector and of nothing on the wire (algorithm::ExactDiffusion; Yuan et al.
/// 2019, Tang et al. 2018). The topology must be a symmetric matrix that does not change; without
/// `lazy` its smallest eigenvalue must lie above -1/3.
///
/// Memory besides module and local optimizer: two copies of the model, three of models up to 1 MB.
/// On the wire: the model once a step and neighbor.
using ExactDiffusion = Staged<ExactDiffusionOptions>;

/// Options of EXTRA.
struct EXTRAOptions {
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "extra";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// EXTRA (Shi et al. 2015; algorithm::EXTRA): exact however the ranks' data differ; what is sent
/// does not wait for the gradient. The topology must be a symmetric matrix that does not change.
///
/// Memory besides module and local optimizer: two copies of the model, and what is sent: one, two
/// up to 1 MB. On the wire: the model once a step and neighbor.
using EXTRA = Staged<EXTRAOptions>;

/// Options of LED.
struct LEDOptions {
  /// Steps between two communications. At least 1.
  TORCH_ARG(std::int64_t, local_steps) = 4;
  /// Mixes with (I + W) / 2 instead of W, which is stable for every symmetric W.
  TORCH_ARG(bool, lazy) = true;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "led";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// Local exact diffusion (Alghunaim 2024; algorithm::LED): local steps without drift. The topology
/// must be a symmetric matrix that does not change.
///
/// Memory besides module and local optimizer: one copy of the model, and what is sent: one, two up
/// to 1 MB. On the wire: the model every `local_steps` steps, to each neighbor.
using LED = Staged<LEDOptions>;

/// Options of KGT.
struct KGTOptions {
  /// Steps between two communications. At least 1.
  TORCH_ARG(std::int64_t, local_steps) = 4;
  /// How far the models go along what was tracked. Positive.
  TORCH_ARG(double, global_rate) = 1.0;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "kgt";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// K-GT (Liu et al. 2023; algorithm::KGT): gradient tracking with local steps.
///
/// Memory besides module and local optimizer: three copies of the model, and two for what is sent
/// (four up to 512 KB). On the wire: twice the model every `local_steps` steps, to each
/// out-neighbor.
using KGT = Staged<KGTOptions>;

/// Options of LSGT.
struct LSGTOptions {
  /// Steps between two communications. At least 1.
  TORCH_ARG(std::int64_t, local_steps) = 4;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "lsgt";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// Periodical gradient tracking (Ge and Chang 2023; algorithm::LSGT): local steps along a tracker.
/// For gradients with little noise: a round subtracts the gradient of its first minibatch in every
/// step.
///
/// Memory besides module and local optimizer: three copies of the model, and two for what is sent
/// (four up to 512 KB). On the wire: twice the model every `local_steps` steps, to each
/// out-neighbor.
using LSGT = Staged<LSGTOptions>;

}  // namespace gossip::optim
