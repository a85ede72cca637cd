// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <thread>

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

TEST(WaitUntil, LooksOnceMoreAfterTheDeadline) {
  int looks = 0;

  EXPECT_TRUE(wait_until(Deadline(0ms), [&] { return ++looks == 2; }));
  EXPECT_EQ(looks, 2);
}

}  // namespace
}  // namespace gossip
