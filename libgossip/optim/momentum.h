// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Momentum in gossip, for LibTorch modules.

#include <cstdint>
#include <string>

#include <libgossip/optim/staged.h>

namespace gossip::optim {

/// Options of QGDSGDm.
struct QGDSGDmOptions {
  /// At least 0 and below 1. The local optimizer is to have none.
  TORCH_ARG(double, momentum) = 0.9;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "qg-dsgdm";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// Quasi-global momentum (Lin et al. 2021; algorithm::QGDSGDm): GossipSGD whose momentum follows
/// the mixed models, which bears data that differ better than local momentum.
///
/// Memory besides module and local optimizer: two copies of the model, and what is sent: one, two
/// up to 1 MB. On the wire: the model once a step and out-neighbor.
using QGDSGDm = Staged<QGDSGDmOptions>;

/// Options of DecentLaM.
struct DecentLaMOptions {
  /// At least 0 and below 1. The local optimizer is to have none.
  TORCH_ARG(double, momentum) = 0.9;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "decentlam";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// DecentLaM (Yuan et al. 2021; algorithm::DecentLaM): momentum with no more bias than GossipSGD
/// without.
///
/// Memory besides module and local optimizer: two copies of the model, and what is sent: one, two
/// up to 1 MB. On the wire: one vector a step and out-neighbor.
using DecentLaM = Staged<DecentLaMOptions>;

/// Options of MomentumTracking.
struct MomentumTrackingOptions {
  /// At least 0 and below 1. The local optimizer is to have none.
  TORCH_ARG(double, momentum) = 0.9;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "momentum-tracking";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// Momentum tracking (Takezawa et al. 2023; algorithm::MomentumTracking): momentum without bias,
/// however the ranks' data differ.
///
/// Memory besides module and local optimizer: three copies of the model, and two for what is sent
/// (four up to 512 KB). On the wire: twice the model a step and out-neighbor.
using MomentumTracking = Staged<MomentumTrackingOptions>;

}  // namespace gossip::optim
