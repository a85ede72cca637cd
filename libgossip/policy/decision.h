// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What a rank does in one step.

#include <optional>

namespace gossip::policy {

class WaitPolicy;

/// What the driver of a worker has decided for one step, by whatever it has measured; by default
/// all that the method does.
struct Decision {
  /// Whether this rank is active: it evaluates a gradient. Of methods with device sampling (the
  /// others need every rank in every step), where the method itself finds it active. Each rank may
  /// decide it by itself.
  bool computes = true;
  /// Whether the step communicates; otherwise it is local. Synchronous methods: all ranks alike.
  bool communicates = true;
  /// Exchanges that this rank starts, on average over the ranks; without: as many as the worker's
  /// options say. Of methods of pairs that are not paced. At least 0.
  std::optional<double> exchanges = {};
  /// When the rounds of the step close; without: when all neighbors' values are there. Of methods
  /// that bear a neighbor's value being left out (docs/waiting.md). It must outlive the
  /// steps up to leave(), of which it learns late; ranks may have different ones.
  WaitPolicy* wait = nullptr;
};

}  // namespace gossip::policy
