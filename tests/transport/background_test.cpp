// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/transport/background.h>

namespace gossip::transport {
namespace {

constexpr std::chrono::seconds kLong{30};

void ignore_error(std::exception_ptr /*error*/) {}

template <class Condition>
void expect_soon(Condition&& condition) {
  EXPECT_TRUE(wait_until(Deadline(kLong), condition));
}

TEST(Background, EndsWithoutWork) {
  Background background;
  background.wake();
  EXPECT_EQ(background.cpu_seconds(), 0.0);
}

TEST(Background, LooksAtAllWorkInTurn) {
  Background background;
  std::atomic<int> first = 0;
  std::atomic<int> second = 0;
  std::atomic<int> out_of_turn = 0;
  int seen = 0;
  const auto one = background.add(
      [&] {
        ++first;
        return Activity::kIdle;
      },
      ignore_error);
  const auto two = background.add(
      [&] {
        if (second++ > 0 && first != seen + 1) ++out_of_turn;
        seen = first;
        return Activity::kUnderWay;
      },
      ignore_error);

  expect_soon([&] { return second >= 20; });
  EXPECT_EQ(out_of_turn, 0);
}

TEST(Background, DoesNotLookAfterTheEndOfTheWork) {
  Background background;
  for (int k = 0; k < 200; ++k) {
    auto looks = std::make_unique<std::atomic<int>>(0);
    auto work = background.add(
        [memory = looks.get()] {
          ++*memory;
          return Activity::kMoved;
        },
        ignore_error);
    if (k % 2 == 0) expect_soon([&] { return *looks > 0; });
    work.reset();
    looks.reset();  // a late look would be a use after free
  }
}

TEST(Background, TheEndOfSomeWorkWaitsForALookOnly) {
  Background background;
  std::atomic<bool> is_looking = false;
  std::atomic<bool> may_go = false;
  auto work = background.add(
      [&] {
        is_looking = true;
        while (!may_go) std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::milliseconds(20));  // reset() must wait for it
        is_looking = false;
        return Activity::kIdle;
      },
      ignore_error);
  expect_soon([&] { return is_looking.load(); });
  may_go = true;
  work.reset();
  EXPECT_FALSE(is_looking);
}

TEST(Background, BusyWorkDoesNotKeepOthersFromComingAndGoing) {
  Background background;
  std::atomic<int> looks = 0;
  const auto busy = background.add(
      [&] {
        const Clock::time_point start = Clock::now();
        while (seconds_between(start, Clock::now()) < 300e-6) {
        }
        ++looks;
        return Activity::kMoved;  // always something to do
      },
      ignore_error);
  expect_soon([&] { return looks > 0; });
  for (int k = 0; k < 100; ++k) {  // without an end, should the busy one keep the mutex
    const auto other = background.add([] { return Activity::kIdle; }, ignore_error);
  }
}

TEST(Background, AnExceptionEndsThatWorkAndIsToldOnce) {
  Background background;
  std::atomic<int> looks = 0;
  std::atomic<int> errors = 0;
  std::atomic<int> healthy = 0;
  std::string message;
  const auto failing = background.add(
      [&]() -> Activity {
        if (++looks == 3) throw std::runtime_error("broken");
        return Activity::kIdle;
      },
      [&](std::exception_ptr error) {
        try {
          std::rethrow_exception(error);
        } catch (const std::exception& reason) {
          message = reason.what();
        }
        ++errors;
      });
  const auto other = background.add(
      [&] {
        ++healthy;
        return Activity::kIdle;
      },
      ignore_error);

  expect_soon([&] { return errors == 1; });
  const int before = healthy;
  expect_soon([&] { return healthy > before + 10; });
  EXPECT_EQ(looks, 3);
  EXPECT_EQ(errors, 1);
  EXPECT_EQ(message, "broken");
}

TEST(Background, WakeEndsASleep) {
  Background background;
  std::atomic<int> looks = 0;
  const auto work = background.add(
      [&] {
        ++looks;
        return Activity::kIdle;
      },
      ignore_error);
  for (int k = 0; k < 100; ++k) {
    const int before = looks;
    background.wake();
    expect_soon([&] { return looks > before; });
  }
  expect_soon([&] { return background.cpu_seconds() > 0.0; });
}

TEST(Background, ThreadsMayAddAndEndAtTheSameTime) {
  Background background;
  std::atomic<int> looks = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int k = 0; k < 50; ++k) {
          const auto work = background.add(
              [&] {
                ++looks;
                return Activity::kIdle;
              },
              ignore_error);
          background.wake();
        }
      });
    }
  }
  const auto last = background.add(
      [&] {
        ++looks;
        return Activity::kIdle;
      },
      ignore_error);
  const int before = looks;
  expect_soon([&] { return looks > before; });
}

}  // namespace
}  // namespace gossip::transport
