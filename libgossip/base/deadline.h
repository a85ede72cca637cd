// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Waiting with an end: a deadline, and the back-off between two looks at a condition.

#include <chrono>
#include <functional>
#include <thread>

namespace gossip {

using Clock = std::chrono::steady_clock;

/// A moment after which waiting is given up.
class Deadline {
 public:
  explicit Deadline(std::chrono::milliseconds timeout) : timeout_(timeout), start_(Clock::now()) {}

  [[nodiscard]] bool has_passed() const {
    // In milliseconds: the longest timeout in the clock's own unit would overflow.
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start_) >= timeout_;
  }
  [[nodiscard]] std::chrono::milliseconds timeout() const noexcept { return timeout_; }

  /// Seconds since the deadline was set.
  [[nodiscard]] double elapsed_seconds() const {
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }

 private:
  std::chrono::milliseconds timeout_;
  Clock::time_point start_;
};

/// Seconds between two moments.
[[nodiscard]] inline double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// What to do between two looks at a condition that another thread or process makes true: look
/// again at once a few times, then give the core away, then sleep, so that ranks that wait do not
/// starve ranks that compute.
class Backoff {
 public:
  void pause() {
    if (looks_ < kLongSleepFrom) ++looks_;
    if (looks_ < kYieldFrom) return;
    if (looks_ < kSleepFrom) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(looks_ < kLongSleepFrom ? 20 : 200));
    }
  }

  /// True about every 64th look, when asking the clock costs little against the waiting.
  [[nodiscard]] bool is_time_to_check_the_clock() const noexcept {
    return looks_ >= kSleepFrom || looks_ % 64 == 0;
  }

 private:
  static constexpr int kYieldFrom = 16;
  static constexpr int kSleepFrom = 2000;
  static constexpr int kLongSleepFrom = 4000;
  int looks_ = 0;
};

/// How a wait for other ranks goes on. A duration alone converts to it.
struct Patience {
  Patience() = default;
  template <class Rep, class Period>
  Patience(std::chrono::duration<Rep, Period> limit)  // NOLINT(google-explicit-constructor)
      : timeout(std::chrono::duration_cast<std::chrono::milliseconds>(limit)) {}

  std::chrono::milliseconds timeout = std::chrono::minutes(5);

  /// Called every tenth of a second of a wait, where it is set; may throw to end the wait.
  std::function<void()> while_waiting;
};

/// Looks at `condition` until it is true or the deadline has passed; returns its last value.
/// Yields, then sleeps.
template <class Condition>
[[nodiscard]] bool wait_until(const Deadline& deadline, Condition&& condition,
                              const std::function<void()>& while_waiting = {}) {
  constexpr double kTenth = 0.1;
  Backoff backoff;
  double next_call = kTenth;
  while (!condition()) {
    if (backoff.is_time_to_check_the_clock()) {
      if (deadline.has_passed()) return condition();
      if (while_waiting && deadline.elapsed_seconds() > next_call) {
        while_waiting();
        next_call += kTenth;
      }
    }
    backoff.pause();
  }
  return true;
}

}  // namespace gossip
