// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/random.h>
#include <libgossip/checkpoint/save_agreement.h>
#include <libgossip/transport/local/cluster.h>

#include "support/said.h"
#include "support/thread_ranks.h"

namespace gossip::checkpoint {
namespace {

constexpr std::chrono::minutes kPatience{5};

TEST(SaveAgreement, RanksInStepActInTheSameStep) {
  constexpr int kRanks = 4;
  constexpr int kSteps = 3000;  // a wish takes up to 512 of them
  const transport::local::Cluster cluster(kRanks);
  std::mutex mutex;
  std::vector<std::set<std::int64_t>> acted(kRanks);
  test::run_ranks(kRanks, [&](int rank) {
    const auto group = cluster.group(rank);
    SaveAgreement agreement(*group, true, kPatience);
    SplitMix64 random = SplitMix64::at(3, static_cast<std::uint64_t>(rank));
    bool has_wished = false;
    for (std::int64_t step = 1; step <= kSteps; ++step) {
      if (random.below(8) == 0) std::this_thread::yield();
      const auto agreed = agreement.read(step);
      if (agreed && agreed->wish == Wish::kSave) {
        const std::lock_guard lock(mutex);
        acted[static_cast<std::size_t>(rank)].insert(step);
      }
      // One rank wishes once.
      const bool wishes = rank == 2 && step > 20 && !has_wished;
      if (agreed || step == 1) has_wished |= wishes;
      agreement.start(step, {.wish = wishes ? Wish::kSave : Wish::kNone});
    }
    agreement.drain();
  });
  EXPECT_EQ(acted[0].size(), 1U);
  for (const auto& steps : acted) EXPECT_EQ(steps, acted[0]);
}

/// Of which one would look after so many more steps than the other, by its own pace.
TEST(SaveAgreement, RanksOfDifferentPacesReadInTheSameSteps) {
  constexpr int kRanks = 2;
  constexpr int kSteps = 120;
  const transport::local::Cluster cluster(kRanks);
  std::vector<std::vector<std::int64_t>> read(kRanks);
  test::run_ranks(kRanks, [&](int rank) {
    const auto group = cluster.group(rank);
    SaveAgreement agreement(*group, true, kPatience);
    for (std::int64_t step = 1; step <= kSteps; ++step) {
      if (rank == 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      if (agreement.read(step)) read[static_cast<std::size_t>(rank)].push_back(step);
      agreement.start(step, {});
    }
    agreement.drain();
  });
  EXPECT_GE(read[1].size(), 2U);  // after the first steps, and by the measured pace
  EXPECT_EQ(read[0], read[1]);
}

TEST(SaveAgreement, TheStrongestWishAndTheOldestSetCount) {
  constexpr int kRanks = 3;
  const transport::local::Cluster cluster(kRanks);
  test::run_ranks(kRanks, [&](int rank) {
    const auto group = cluster.group(rank);
    SaveAgreement agreement(*group, true, kPatience);
    agreement.start(10, {.wish = rank == 1   ? Wish::kSaveAndStop
                                 : rank == 2 ? Wish::kSave
                                             : Wish::kNone,
                         .settled = 100 * rank - 1,
                         .has_failed = rank == 2});
    EXPECT_FALSE(agreement.read(11));
    const auto agreed = agreement.read(12);
    EXPECT_TRUE(agreed);
    EXPECT_EQ(agreed->wish, Wish::kSaveAndStop);
    EXPECT_EQ(agreed->settled, -1);
    EXPECT_TRUE(agreed->has_failed);
  });
}

/// Ranks at paces of their own look in between, and meet in the end, one of them a start behind.
TEST(SaveAgreement, RanksOutOfStepHearOfEachWish) {
  constexpr int kRanks = 4;
  const transport::local::Cluster cluster(kRanks);
  std::atomic<int> heard = 0;
  test::run_ranks(kRanks, [&](int rank) {
    const auto group = cluster.group(rank);
    SaveAgreement agreement(*group, false, kPatience);
    bool has_heard = false;
    for (std::int64_t step = 0; !has_heard; ++step) {
      const auto agreed = agreement.read(step);
      has_heard = agreed && agreed->wish == Wish::kSaveAndStop;
      if (!has_heard) {
        agreement.start(step, {.wish = rank == 3 ? Wish::kSaveAndStop : Wish::kNone});
      }
      std::this_thread::sleep_for(std::chrono::microseconds(100 * (rank + 1)));
    }
    ++heard;
    // All start again; one of them reads that, and is a start ahead when they meet.
    std::this_thread::sleep_for(std::chrono::milliseconds(120));
    agreement.start(0, {});
    if (rank == 0) {
      while (!agreement.read(1)) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(120));
      agreement.start(1, {});
    }
    agreement.drain();
    EXPECT_FALSE(agreement.read(2));
  });
  EXPECT_EQ(heard, kRanks);
}

TEST(SaveAgreement, ARankThatWaitsForLongSaysSo) {
  constexpr int kRanks = 2;
  const transport::local::Cluster cluster(kRanks);
  const test::Said said;
  test::run_ranks(kRanks, [&](int rank) {
    const auto group = cluster.group(rank);
    SaveAgreement agreement(*group, true, kPatience);
    const auto is_said = [&] {
      return said.text().find("waiting for the other ranks to agree on when to save (1") !=
             std::string::npos;
    };
    constexpr int kMost = 2000;  // within the other's patience
    for (int i = 0; rank == 1 && i < kMost && !is_said(); ++i) {
      RunningClock::skip(std::chrono::milliseconds(100));
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_TRUE(rank == 0 || is_said());
    agreement.start(1, {});
    EXPECT_TRUE(agreement.read(3));
  });
  const std::string text = said.text();
  EXPECT_EQ(text.find("waiting for"), text.rfind("waiting for")) << text;
}

}  // namespace
}  // namespace gossip::checkpoint
