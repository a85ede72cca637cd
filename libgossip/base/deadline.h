// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Waiting with an end: a deadline, and the back-off between two looks at a condition.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>

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

  /// Lets time pass at once: for tests of what takes long.
  static void skip(duration time);
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

/// A moment after which waiting is given up, and what a wait remembers that takes many calls.
/// Copies are waits of their own. Threads: any, but those that wait with a callback or a notice one
/// at a time.
class Deadline {
 public:
  explicit Deadline(std::chrono::milliseconds timeout) : Deadline(timeout, RunningClock::now()) {}

  /// Of a wait that began at `start`, which is not after now.
  Deadline(std::chrono::milliseconds timeout, RunningClock::time_point start)
      : timeout_(timeout), start_(start) {}

  [[nodiscard]] bool has_passed() const { return elapsed() >= timeout_; }
  [[nodiscard]] std::chrono::milliseconds timeout() const noexcept { return timeout_; }

  /// One of the same wait that passes `time` from now, if that is sooner.
  [[nodiscard]] Deadline within(std::chrono::milliseconds time) const {
    if (time >= timeout_) return *this;
    Deadline result = *this;
    const auto elapsed = std::chrono::ceil<std::chrono::milliseconds>(RunningClock::now() - start_);
    if (elapsed < timeout_ && time < timeout_ - elapsed) result.timeout_ = elapsed + time;
    return result;
  }

  /// Seconds since the deadline was set.
  [[nodiscard]] double elapsed_seconds() const {
    return seconds_between(start_, RunningClock::now());
  }

  /// Whether a tenth of a second of the wait has begun since the last call, or the first.
  [[nodiscard]] bool begins_a_tenth() const {
    const std::int64_t tenths = elapsed() / std::chrono::milliseconds(100);
    return tenths > std::exchange(tenths_, tenths);
  }

  /// Whether this is the first call: a wait has one notice.
  [[nodiscard]] bool takes_the_notice() const noexcept { return !std::exchange(has_notice_, true); }

 private:
  /// In milliseconds: the longest timeout in the clock's own unit would overflow.
  [[nodiscard]] std::chrono::milliseconds elapsed() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(RunningClock::now() - start_);
  }

  std::chrono::milliseconds timeout_;
  RunningClock::time_point start_;
  mutable std::int64_t tenths_ = 0;
  mutable bool has_notice_ = false;
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

/// Looks at `condition` until it is true, the deadline has passed or `at_most` has passed from now;
/// returns its last value. Yields, then sleeps. Calls `while_waiting` whenever another tenth of a
/// second of the deadline's time has begun, where one ends the wait too: also in a wait that takes
/// many calls, each of them shorter.
template <class Condition>
[[nodiscard]] bool wait_until(
    const Deadline& deadline, Condition&& condition,
    const std::function<void()>& while_waiting = {},
    std::chrono::milliseconds at_most = std::chrono::milliseconds::max()) {
  const Deadline end = deadline.within(at_most);
  Backoff backoff;
  while (!condition()) {
    if (backoff.is_time_to_check_the_clock()) {
      const bool is_over = end.has_passed();
      if (while_waiting && deadline.begins_a_tenth()) while_waiting();
      if (is_over) return condition();
    }
    backoff.pause();
  }
  return true;
}

}  // namespace gossip
