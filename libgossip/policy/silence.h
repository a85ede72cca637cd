// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How long a rank that is heard of regularly may be silent before it is suspected.

#include <algorithm>
#include <chrono>
#include <cmath>

#include <libgossip/base/deadline.h>

namespace gossip::policy {

/// Signs of life of one rank. The limit follows the longest recent gap between two of them, since
/// gaps are those of the scheduler: their median and spread say nothing about the longest ones.
/// Pure: takes times, gives verdicts.
class Silence {
 public:
  using Time = RunningClock::time_point;

  explicit Silence(Time now) : heard_(now) {}

  /// A sign of life; `now` is not before the last one.
  void hear(Time now) {
    constexpr double kHalfLifeSeconds = 28.0;
    const double gap = seconds(now);
    longest_gap_ = std::max(gap, longest_gap_ * std::exp2(-gap / kHalfLifeSeconds));
    heard_ = now;
  }

  /// Begins anew, as if the rank had just been heard of: while nothing was expected of it.
  void restart(Time now) { heard_ = now; }

  /// Seconds without a sign of life.
  [[nodiscard]] double seconds(Time now) const { return seconds_between(heard_, now); }

  /// Of `seconds()`, before the rank is suspected: four times the longest recent gap, 2 to 30.
  [[nodiscard]] double limit_seconds() const {
    constexpr double kGaps = 4.0;
    constexpr double kLeast = 2.0;
    constexpr double kMost = 30.0;
    return std::clamp(kGaps * longest_gap_, kLeast, kMost);
  }

  [[nodiscard]] bool is_suspicious(Time now) const { return seconds(now) > limit_seconds(); }

 private:
  Time heard_;
  double longest_gap_ = 0.0;  // in seconds; halves in 28 s
};

}  // namespace gossip::policy
