// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Neighbors that do not answer.

#include <chrono>

#include <libgossip/base/deadline.h>
#include <libgossip/base/types.h>

namespace gossip::engine {

/// What happens when a neighbor has been silent for the whole timeout.
enum class OnLostNeighbor {
  kError,  ///< a TimeoutError that names it; the default
  kDrop,   ///< the run goes on without it: weights stay stochastic over the rest
};

/// How long a neighbor has been silent while this rank waits for it. Warns after some seconds.
class Watch {
 public:
  /// The neighbor moved, or nothing is expected of it.
  void reset() {
    since_ = Clock::now();
    has_warned_ = false;
  }

  /// Whether `peer` has been silent for longer than `timeout`; says so once, before that.
  [[nodiscard]] bool has_run_out(Rank self, Rank peer, std::chrono::milliseconds timeout);

  [[nodiscard]] double seconds() const { return seconds_between(since_, Clock::now()); }

 private:
  Clock::time_point since_ = Clock::now();
  bool has_warned_ = false;
};

}  // namespace gossip::engine
