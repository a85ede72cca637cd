// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Waiting with an end: a deadline, and the back-off between two looks at a condition.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <thread>

namespace gossip {

using Clock = std::chrono::steady_clock;

/// Counts the time in which this process runs, by looks at the clock: of the time between two looks
/// at most `kLongestGap` counts, since a process that looks less often is stopped.
class RunningTime {
 public:
  static constexpr std::chrono::milliseconds kLongestGap{100};

  explicit RunningTime(Clock::time_point start) : last_(start) {}

  /// The time so far. `now` is not before that of the last look.
  Clock::duration look(Clock::time_point now) {
    time_ += std::min<Clock::duration>(now - last_, kLongestGap);
    last_ = now;
    return time_;
  }

 private:
  Clock::time_point last_;
  Clock::duration time_{0};
};

/// The clock of all waits. It stands still while the process is stopped: suspended with all other
/// ranks by a scheduler, held by a debugger. It also does where no thread looks at it; those that
/// wait and the communication thread do. Threads: any.
class RunningClock {
 public:
  using duration = Clock::duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<RunningClock>;
  static constexpr bool is_steady = true;

  static time_point now();
};

/// Seconds between two moments of one clock.
template <class AnyClock, class Duration>
[[nodiscard]] double seconds_between(std::chrono::time_point<AnyClock, Duration> from,
                                     std::chrono::time_point<AnyClock, Duration> to) {
  return std::chrono::duration<double>(to - from).count();
}

/// A duration in milliseconds, rounded up; the longest there is for one that they cannot say.
template <class Rep, class Period>
[[nodiscard]] constexpr std::chrono::milliseconds in_milliseconds(
    std::chrono::duration<Rep, Period> time) {
  using std::chrono::milliseconds;
  constexpr double kMost = 9e18;
  const double count = std::chrono::duration<double, std::milli>(time).count();
  if (count > kMost) return milliseconds::max();
  return count < -kMost ? milliseconds::min() : std::chrono::ceil<milliseconds>(time);
}

/// Twice a timeout, or the longest there is.
[[nodiscard]] constexpr std::chrono::milliseconds twice(std::chrono::milliseconds timeout) {
  return timeout > std::chrono::milliseconds::max() / 2 ? std::chrono::milliseconds::max()
                                                        : 2 * timeout;
}

/// A moment after which waiting is given up.
class Deadline {
 public:
  explicit Deadline(std::chrono::milliseconds timeout)
      : timeout_(timeout), start_(RunningClock::now()) {}

  [[nodiscard]] bool has_passed() const {
    // In milliseconds: the longest timeout in the clock's own unit would overflow.
    const RunningClock::duration elapsed = RunningClock::now() - start_;
    return std::chrono::duration_cast<std::chrono::milliseconds>(elapsed) >= timeout_;
  }
  [[nodiscard]] std::chrono::milliseconds timeout() const noexcept { return timeout_; }

  /// One of the same wait that passes `time` from now, if that is sooner.
  [[nodiscard]] Deadline within(std::chrono::milliseconds time) const {
    Deadline result = *this;
    const auto elapsed = std::chrono::ceil<std::chrono::milliseconds>(RunningClock::now() - start_);
    if (elapsed < timeout_ && time < timeout_ - elapsed) result.timeout_ = elapsed + time;
    return result;
  }

  /// Seconds since the deadline was set.
  [[nodiscard]] double elapsed_seconds() const {
    return seconds_between(start_, RunningClock::now());
  }

 private:
  std::chrono::milliseconds timeout_;
  RunningClock::time_point start_;
};

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
      : timeout(in_milliseconds(limit)) {}

  std::chrono::milliseconds timeout = std::chrono::minutes(5);

  /// Called every tenth of a second of a wait, where it is set; may throw to end the wait.
  std::function<void()> while_waiting;
};

/// Looks at `condition` until it is true or the deadline has passed; returns its last value.
/// Yields, then sleeps. Calls `while_waiting` whenever another tenth of a second of the deadline's
/// time has begun: also in a wait that takes many calls, each of them shorter.
template <class Condition>
[[nodiscard]] bool wait_until(const Deadline& deadline, Condition&& condition,
                              const std::function<void()>& while_waiting = {}) {
  constexpr double kTenthsPerSecond = 10.0;
  Backoff backoff;
  double begun = -1.0;  // tenths; negative before the first look at the clock
  while (!condition()) {
    if (backoff.is_time_to_check_the_clock()) {
      if (deadline.has_passed()) return condition();
      if (while_waiting) {
        const double tenths = std::floor(deadline.elapsed_seconds() * kTenthsPerSecond);
        if (begun >= 0.0 && tenths > begun) while_waiting();
        begun = tenths;
      }
    }
    backoff.pause();
  }
  return true;
}

}  // namespace gossip
