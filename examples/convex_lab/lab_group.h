// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A method on all workers of a problem in virtual time.

#include <span>

#include <nlohmann/json.hpp>

#include <libgossip/base/types.h>

namespace gossip::examples {

/// What a run has cost so far, over all workers.
struct LabCounts {
  double model_time = 0.0;      ///< in units of the mean time of one gradient
  double gradients = 0.0;       ///< of a worker's function; a component's is 1/m of one
  double communications = 0.0;  ///< activations of an edge: a payload each way
  double bytes = 0.0;           ///< of payload sent
};

/// All workers of one method. One thread.
class LabGroup {
 public:
  LabGroup() = default;
  LabGroup(const LabGroup&) = delete;
  LabGroup& operator=(const LabGroup&) = delete;
  virtual ~LabGroup() = default;

  /// Goes on a little: a step of all workers, or some events.
  virtual void advance() = 0;

  [[nodiscard]] virtual LabCounts counts() const = 0;

  /// What worker `worker` has found. Valid until advance().
  [[nodiscard]] virtual std::span<const double> model(Rank worker) const = 0;

  /// The numbers that the method works with.
  [[nodiscard]] virtual nlohmann::ordered_json constants() const = 0;
};

}  // namespace gossip::examples
