// SPDX-License-Identifier: Apache-2.0
#include "support/thread_ranks.h"

#include <atomic>
#include <barrier>
#include <set>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gossip::test {
namespace {

TEST(ThreadRanks, EveryRankRunsOnce) {
  std::mutex mutex;
  std::multiset<int> ranks;

  run_ranks(5, [&](int rank) {
    const std::lock_guard lock(mutex);
    ranks.insert(rank);
  });

  EXPECT_THAT(ranks, testing::ElementsAre(0, 1, 2, 3, 4));
}

TEST(ThreadRanks, RunAtTheSameTime) {
  std::barrier meeting(4);

  run_ranks(4, [&](int /*rank*/) { meeting.arrive_and_wait(); });
}

TEST(ThreadRanks, RethrowTheFirstExceptionAfterAllHaveEnded) {
  std::atomic<bool> thrown = false;
  std::atomic<int> ended = 0;
  const auto body = [&](int rank) {
    if (rank == 2) {
      thrown = true;
      throw std::runtime_error("the cause");
    }
    while (!thrown) std::this_thread::yield();
    ++ended;
  };

  EXPECT_THAT([&] { run_ranks(3, body); }, testing::ThrowsMessage<std::runtime_error>("the cause"));
  EXPECT_EQ(ended, 2);
}

}  // namespace
}  // namespace gossip::test
