// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include <libgossip/base/deadline.h>

namespace gossip {
namespace {

using namespace std::chrono_literals;

TEST(Deadline, HasPassedAfterItsTimeoutOnly) {
  const Deadline soon(20ms);
  const Deadline late(10min);

  std::this_thread::sleep_for(25ms);

  EXPECT_TRUE(soon.has_passed());
  EXPECT_FALSE(late.has_passed());
  EXPECT_GE(soon.elapsed_seconds(), 0.025);
  EXPECT_EQ(late.timeout(), 10min);
}

TEST(Deadline, OfNothingHasPassedAtOnce) { EXPECT_TRUE(Deadline(0ms).has_passed()); }

TEST(Deadline, TakesTheLongestTimeoutThereIs) {
  EXPECT_FALSE(Deadline(std::chrono::milliseconds::max()).has_passed());
}

TEST(Deadline, TwiceATimeoutIsAtMostTheLongest) {
  constexpr auto kMost = std::chrono::milliseconds::max();

  EXPECT_EQ(twice(20ms), 40ms);
  EXPECT_EQ(twice(kMost), kMost);
  EXPECT_FALSE(Deadline(twice(kMost)).has_passed());
}

TEST(Deadline, WithinATimeIsTheSoonerOfTheTwo) {
  constexpr auto kMost = std::chrono::milliseconds::max();
  const Deadline deadline(10min);
  std::this_thread::sleep_for(2ms);

  const Deadline soon = deadline.within(20ms);
  EXPECT_GE(soon.timeout(), 22ms);  // its time counts from the beginning of the wait
  EXPECT_LT(soon.timeout(), 10min);
  EXPECT_GE(soon.elapsed_seconds(), 0.002);
  EXPECT_EQ(deadline.within(10min).timeout(), 10min);
  EXPECT_EQ(deadline.within(kMost).timeout(), 10min);
  EXPECT_EQ(Deadline(kMost).within(kMost).timeout(), kMost);
  EXPECT_LT(Deadline(kMost).within(1h).timeout(), 2h);
  EXPECT_TRUE(Deadline(0ms).within(1h).has_passed());
  EXPECT_TRUE(deadline.within(-1ms).has_passed());
}

TEST(Deadline, MillisecondsOfAnyDuration) {
  EXPECT_EQ(in_milliseconds(5min), 300s);
  EXPECT_EQ(in_milliseconds(10us), 1ms);
  EXPECT_EQ(in_milliseconds(std::chrono::duration<double>(0.25)), 250ms);
  EXPECT_EQ(in_milliseconds(std::chrono::hours::max()), std::chrono::milliseconds::max());
  EXPECT_EQ(in_milliseconds(std::chrono::hours::min()), std::chrono::milliseconds::min());
  EXPECT_EQ(Patience(std::chrono::minutes::max()).timeout, std::chrono::milliseconds::max());
}

TEST(RunningTime, CountsOfAGapThatIsTooLongOnlyItsBeginning) {
  const Clock::time_point start = Clock::now();
  RunningTime time(start);

  EXPECT_EQ(time.look(start + 80ms), 80ms);
  EXPECT_EQ(time.look(start + 1h), 80ms + RunningTime::kLongestGap);
  EXPECT_EQ(time.look(start + 1h + 20ms), 100ms + RunningTime::kLongestGap);
}

TEST(RunningClock, LetsTimePassAtOnce) {
  const Deadline deadline(1min);

  RunningClock::skip(30s);
  EXPECT_FALSE(deadline.has_passed());
  EXPECT_GE(deadline.elapsed_seconds(), 30.0);
  RunningClock::skip(30s);
  EXPECT_TRUE(deadline.has_passed());
}

/// Waits for a byte from `input`.
bool has_received(const Deadline& deadline, int input) {
  std::atomic<bool> is_there = false;
  std::jthread reader([&] {
    char byte = 0;
    is_there = read(input, &byte, 1) == 1;
  });
  return wait_until(deadline, [&] { return is_there.load(); });
}

TEST(RunningClock, StandsStillWhileTheProcessIsStopped) {
  std::array<int, 2> ready{};
  std::array<int, 2> go_on{};
  ASSERT_EQ(pipe(ready.data()), 0);
  ASSERT_EQ(pipe(go_on.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    const Deadline deadline(1500ms);
    static_cast<void>(write(ready[1], "r", 1));
    std::_Exit(has_received(deadline, go_on[0]) && !deadline.has_passed() ? 0 : 1);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);

  kill(child, SIGSTOP);
  ASSERT_EQ(waitpid(child, nullptr, WUNTRACED), child);
  std::this_thread::sleep_for(2s);
  kill(child, SIGCONT);
  ASSERT_EQ(write(go_on[1], "g", 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);

  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Deadline, SecondsBetweenTwoMoments) {
  const Clock::time_point from = Clock::now();

  EXPECT_DOUBLE_EQ(seconds_between(from, from + 1500ms), 1.5);
  EXPECT_DOUBLE_EQ(seconds_between(from + 1500ms, from), -1.5);
}

TEST(Backoff, ChecksTheClockSeldomAtFirstAndAlwaysOnceItSleeps) {
  Backoff backoff;
  int checks = 0;
  for (int look = 0; look < 1000; ++look) {
    checks += backoff.is_time_to_check_the_clock() ? 1 : 0;
    backoff.pause();
  }
  for (int look = 0; look < 2000; ++look) backoff.pause();

  EXPECT_GT(checks, 10);
  EXPECT_LT(checks, 20);
  EXPECT_TRUE(backoff.is_time_to_check_the_clock());
  backoff.pause();
  EXPECT_TRUE(backoff.is_time_to_check_the_clock());
}

TEST(WaitUntil, SeesWhatAnotherThreadDoes) {
  std::atomic<bool> is_done = false;
  std::jthread other([&] {
    std::this_thread::sleep_for(10ms);
    is_done = true;
  });

  EXPECT_TRUE(wait_until(Deadline(1min), [&] { return is_done.load(); }));
}

TEST(WaitUntil, GivesUpAtItsDeadline) {
  const Deadline deadline(30ms);

  EXPECT_FALSE(wait_until(deadline, [] { return false; }));
  EXPECT_TRUE(deadline.has_passed());
  EXPECT_LT(deadline.elapsed_seconds(), 20.0);
}

TEST(WaitUntil, CallsBackInEachTenthOfASecondHoweverManyWaitsShareTheDeadline) {
  int calls = 0;
  const Deadline deadline(1min);

  while (calls < 2 && !deadline.has_passed()) {
    EXPECT_FALSE(wait_until(
        deadline, [] { return false; }, [&] { ++calls; }, 10ms));
  }

  EXPECT_EQ(calls, 2);
  EXPECT_GE(deadline.elapsed_seconds(), 0.2);
  EXPECT_FALSE(wait_until(
      deadline, [] { return false; }, [&] { ++calls; }, 0ms));
  EXPECT_LE(calls, 3) << "calls that are due for long are not made up for";
}

TEST(WaitUntil, CallsBackForATenthThatBeganBetweenTwoWaits) {
  int calls = 0;
  const Deadline deadline(1min, RunningClock::now() - 5s);

  EXPECT_FALSE(wait_until(
      deadline, [] { return false; }, [&] { ++calls; }, 0ms));

  EXPECT_EQ(calls, 1);
}

TEST(WaitUntil, CallsBackWhereATenthEndsTheWait) {
  const Deadline deadline(300ms, RunningClock::now() - 250ms);
  double last = 0.0;

  EXPECT_FALSE(wait_until(
      deadline, [] { return false; }, [&] { last = deadline.elapsed_seconds(); }));

  EXPECT_GE(last, 0.3);
}

TEST(WaitUntil, LooksAtTheConditionAfterTheLastCallBack) {
  bool is_done = false;

  EXPECT_TRUE(wait_until(
      Deadline(300ms, RunningClock::now() - 300ms), [&] { return is_done; },
      [&] { is_done = true; }));
}

TEST(WaitUntil, LooksOnceMoreAfterTheDeadline) {
  int looks = 0;

  EXPECT_TRUE(wait_until(Deadline(0ms), [&] { return ++looks == 2; }));
  EXPECT_EQ(looks, 2);
}

}  // namespace
}  // namespace gossip
