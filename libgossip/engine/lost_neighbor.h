// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Neighbors that do not answer.

#include <chrono>
#include <string_view>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/base/types.h>
#include <libgossip/engine/counters.h>

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
    since_ = RunningClock::now();
    has_warned_ = false;
  }

  /// Whether `peer` has been silent for longer than `timeout`; says so once, before that.
  [[nodiscard]] bool has_run_out(Rank self, Rank peer, std::chrono::milliseconds timeout);

  [[nodiscard]] double seconds() const { return seconds_between(since_, RunningClock::now()); }

 private:
  RunningClock::time_point since_ = RunningClock::now();
  bool has_warned_ = false;
};

/// The neighbors that a rank has given up. Local; not for calls from several threads.
class LostNeighbors {
 public:
  LostNeighbors(Rank self, int size, OnLostNeighbor policy)
      : self_(self), policy_(policy), is_lost_(static_cast<std::size_t>(size), false) {}

  [[nodiscard]] bool may_drop() const noexcept { return policy_ == OnLostNeighbor::kDrop; }
  [[nodiscard]] bool contains(Rank rank) const { return is_lost_[static_cast<std::size_t>(rank)]; }

  /// `peer` was silent for `seconds`: gives it up, with a warning and in `counters`, or throws a
  /// TimeoutError that names it. `what` says what it did not do.
  void add(Rank peer, std::string_view what, double seconds, Counters& counters);

 private:
  Rank self_;
  OnLostNeighbor policy_;
  std::vector<bool> is_lost_;
};

}  // namespace gossip::engine
