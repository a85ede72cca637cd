// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Compressed communication, for LibTorch modules.

#include <cstdint>
#include <string>

#include <libgossip/optim/staged.h>

namespace gossip::optim {

/// Options of ChocoSGD.
struct ChocoSGDOptions {
  /// The share of entries that is sent (top-k), at least one a type. Above 0, at most 1.
  TORCH_ARG(double, fraction) = 0.01;
  /// Gamma, above 0 and at most 1. The more is left out, the smaller.
  TORCH_ARG(double, consensus_rate) = 0.1;
  /// What is sent does not depend on the gradient.
  TORCH_ARG(bool, overlapped) = false;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "choco-sgd";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// CHOCO-SGD (Koloskova, Stich, Jaggi 2019; algorithm::ChocoSGD): gossip of compressed differences.
///
/// Memory besides module and local optimizer: three copies of the model, four overlapped, and what
/// is sent. On the wire: 8 bytes (float) for each entry that is sent, a step and neighbor.
using ChocoSGD = Staged<ChocoSGDOptions>;

/// Options of DeepSqueeze.
struct DeepSqueezeOptions {
  /// The share of entries that is sent (top-k), at least one a type. Above 0, at most 1.
  TORCH_ARG(double, fraction) = 0.01;
  /// Gamma, above 0 and at most 1. The more is left out, the smaller.
  TORCH_ARG(double, consensus_rate) = 0.1;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "deep-squeeze";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// DeepSqueeze (Tang et al. 2019; algorithm::DeepSqueeze): gossip of compressed models with error
/// feedback.
///
/// Memory besides module and local optimizer: two copies of the model, and what is sent. On the
/// wire: 8 bytes (float) for each entry that is sent, a step and neighbor.
using DeepSqueeze = Staged<DeepSqueezeOptions>;

/// Options of EFSGD.
struct EFSGDOptions {
  /// The share of entries that is sent (top-k), at least one a type. Above 0, at most 1.
  TORCH_ARG(double, fraction) = 0.01;
  /// The model that each rank starts from.
  TORCH_ARG(Initial, initial) = Initial::kBroadcast;
  /// How long a step waits for another rank. Must be positive.
  TORCH_ARG(std::chrono::milliseconds, timeout) = std::chrono::minutes(5);

 public:
  static constexpr const char* kName = "ef-sgd";
  [[nodiscard]] StagedMethod method(const topology::Schedule& schedule, Rank rank) const;
  [[nodiscard]] std::string text() const;
};

/// EF-SGD (Stich, Cordonnier, Jaggi 2018; algorithm::EFSGD): all-reduce of compressed gradients
/// with error feedback. All ranks keep the same model, to the bit.
///
/// Memory besides module and local optimizer: two copies of the model, and what is sent. On the
/// wire: 8 bytes (float) for each entry that is sent, a step and rank.
using EFSGD = StagedAmongAll<EFSGDOptions>;

}  // namespace gossip::optim
