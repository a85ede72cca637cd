// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <libgossip/policy/factory.h>

#include "policy_test_support.h"

namespace gossip::policy {
namespace {

using test::accepted_after;
using test::expect_throw;
using test::neighbors_after;
using test::ranks_in;

using Offsets = std::vector<double>;
using Ranks = std::vector<Rank>;

struct Case {
  std::string policy;
  Offsets offsets;
  Ranks accepted;
  double seconds;
};

const Offsets kMixed{0.31, -0.2, 0.05, 1.7};
const Offsets kTied{0.4, 0.4, 0.1};
const Offsets kLong{2.0, 0.25, 0.75, 0.5, 9.0};
const Offsets kAlone{0.05};

/// Values of an independent implementation.
const std::vector<Case> kCases{
    {"all", kMixed, {0, 1, 2, 3}, 1.7},
    {"fastest:2", kMixed, {1, 2}, 0.05},
    {"deadline:0.3", kMixed, {1, 2}, 0.3},
    {"deadline:0.3:2", kMixed, {1, 2}, 0.3},
    {"all", kTied, {0, 1, 2}, 0.4},
    {"fastest:2", kTied, {0, 2}, 0.4},
    {"deadline:0.3", kTied, {2}, 0.3},
    {"deadline:0.3:2", kTied, {0, 2}, 0.4},
    {"all", kLong, {0, 1, 2, 3, 4}, 9.0},
    {"fastest:2", kLong, {1, 3}, 0.5},
    {"deadline:0.3", kLong, {1}, 0.3},
    {"deadline:0.3:2", kLong, {1, 3}, 0.5},
    {"all", kAlone, {0}, 0.05},
    {"fastest:2", kAlone, {0}, 0.05},
    {"deadline:0.3", kAlone, {0}, 0.05},
    {"deadline:0.3:2", kAlone, {0}, 0.05},
};

TEST(WaitPolicy, ClosesLikeTheReference) {
  for (const Case& expected : kCases) {
    SCOPED_TRACE(expected.policy + " of " + testing::PrintToString(expected.offsets));

    const Closing closing = close(*make_wait_policy(expected.policy), expected.offsets);

    EXPECT_EQ(ranks_in(closing.accepted), expected.accepted);
    EXPECT_EQ(closing.seconds, expected.seconds);
  }
}

TEST(WaitPolicy, AcceptsTheSameOnesWhenItIsAskedLate) {
  for (const Case& expected : kCases) {
    SCOPED_TRACE(expected.policy + " of " + testing::PrintToString(expected.offsets));
    const std::unique_ptr<WaitPolicy> policy = make_wait_policy(expected.policy);
    for (const double late : {0.0, 0.15, 0.5, 3.0, 20.0}) {
      EXPECT_EQ(accepted_after(*policy, expected.seconds + late, expected.offsets),
                expected.accepted);
    }
  }
}

TEST(WaitPolicy, ClosesARoundWithoutNeighborsAtOnce) {
  for (const char* const text : {"all", "fastest:2", "deadline:0.3:2", "adaptive", "stale:0"}) {
    const Closing closing = close(*make_wait_policy(text), {});

    EXPECT_TRUE(closing.accepted.empty()) << text;
    EXPECT_EQ(closing.seconds, 0.0) << text;
  }
}

TEST(WaitPolicy, TakesTheLowerRanksOfEquallyEarlyOnes) {
  EXPECT_EQ(ranks_in(close(Fastest(2), Offsets{0.5, 0.5, 0.5, 0.5}).accepted), Ranks({0, 1}));
  EXPECT_EQ(ranks_in(close(Deadline(0.1, 3), Offsets{0.5, 0.5, 0.05, 0.5}).accepted),
            Ranks({0, 1, 2}));
  // All that was there before the own value was is equally early.
  EXPECT_EQ(ranks_in(close(Fastest(2), Offsets{-0.1, -3.0, -0.2, 0.0}).accepted), Ranks({0, 1}));
}

TEST(WaitPolicy, CountsRanksRatherThanPlacesInAView) {
  const std::vector<NeighborView> neighbors{{.rank = 7, .has_arrived = true, .offset = 0.5},
                                            {.rank = 3, .has_arrived = true, .offset = 0.5}};
  Mask accepted;

  Fastest(1).accept({.elapsed = 0.5, .neighbors = neighbors}, accepted);

  EXPECT_EQ(ranks_in(accepted), Ranks({1}));
}

TEST(WaitPolicy, OfRoundsHasNoUseForTheLatestValue) {
  EXPECT_FALSE(All().reads_latest());
  EXPECT_FALSE(Fastest(1).reads_latest());
  EXPECT_FALSE(Deadline(1.0).reads_latest());
  EXPECT_FALSE(AdaptiveDeadline().reads_latest());
  EXPECT_TRUE(BoundedStaleness().reads_latest());
}

TEST(All, IsAskedAgainAtTheNextArrivalOnly) {
  const auto neighbors = neighbors_after(1.0, {0.5, 2.0});

  const WaitPolicy::Verdict verdict = All().decide({.elapsed = 1.0, .neighbors = neighbors});

  EXPECT_FALSE(verdict.closes);
  EXPECT_EQ(verdict.ask_again, kForever);
}

TEST(Fastest, WaitsForAllWhereThereAreFewer) {
  const Closing closing = close(Fastest(5), Offsets{0.25, 3.0});

  EXPECT_EQ(ranks_in(closing.accepted), Ranks({0, 1}));
  EXPECT_EQ(closing.seconds, 3.0);
}

TEST(Deadline, AsksToBeAskedWhenItRunsOut) {
  const auto neighbors = neighbors_after(0.25, {0.125, 2.0});

  const auto before = Deadline(1.0).decide({.elapsed = 0.25, .neighbors = neighbors});
  const auto after = Deadline(1.0).decide({.elapsed = 1.0, .neighbors = neighbors});

  EXPECT_FALSE(before.closes);
  EXPECT_EQ(before.ask_again, 0.75);
  EXPECT_TRUE(after.closes);
}

TEST(Deadline, WaitsForItsQuorumAfterwards) {
  const auto neighbors = neighbors_after(2.0, {0.125, 5.0, 6.0});

  const auto verdict = Deadline(1.0, 2).decide({.elapsed = 2.0, .neighbors = neighbors});

  EXPECT_FALSE(verdict.closes);
  EXPECT_EQ(verdict.ask_again, kForever);
  EXPECT_EQ(close(Deadline(1.0, 2), Offsets{0.125, 5.0, 6.0}).seconds, 5.0);
  EXPECT_EQ(close(Deadline(1.0, 9), Offsets{0.125, 5.0, 6.0}).seconds, 6.0);
}

TEST(Deadline, WithoutAQuorumMayCloseWithNobody) {
  const Closing closing = close(Deadline(0.5), Offsets{1.0, kForever});

  EXPECT_TRUE(ranks_in(closing.accepted).empty());
  EXPECT_EQ(closing.seconds, 0.5);
}

TEST(Deadline, OfZeroTakesWhatIsThereAlready) {
  const Closing closing = close(Deadline(0.0), Offsets{-1.0, 0.0, 0.5});

  EXPECT_EQ(ranks_in(closing.accepted), Ranks({0, 1}));
  EXPECT_EQ(closing.seconds, 0.0);
}

TEST(Deadline, IsInTimeExactly) {
  const Closing closing = close(Deadline(0.3), Offsets{0.3, 0.4});

  EXPECT_EQ(ranks_in(closing.accepted), Ranks({0}));
}

TEST(BoundedStaleness, WaitsForEachNeighborsNewestValue) {
  const auto closes = [](std::int64_t most, std::int64_t age, bool has_arrived = true) {
    const std::vector<NeighborView> neighbors{{.rank = 0, .has_arrived = true, .age = 0},
                                              {.rank = 1, .has_arrived = has_arrived, .age = age}};
    return BoundedStaleness(most).decide({.neighbors = neighbors}).closes;
  };

  EXPECT_TRUE(closes(4, 4));
  EXPECT_FALSE(closes(4, 5));
  EXPECT_TRUE(closes(0, 0));
  EXPECT_FALSE(closes(0, 1));
  EXPECT_TRUE(closes(0, -3)) << "newer values are welcome";
  EXPECT_FALSE(closes(4, 0, false)) << "before the first value";
}

TEST(BoundedStaleness, TakesThemAll) {
  const std::vector<NeighborView> neighbors{{.rank = 0, .has_arrived = true, .age = 4},
                                            {.rank = 1, .has_arrived = true, .age = -2}};
  Mask accepted;

  BoundedStaleness(4).accept({.neighbors = neighbors}, accepted);

  EXPECT_EQ(ranks_in(accepted), Ranks({0, 1}));
}

TEST(Close, SaysSoWhenTheRoundStaysOpen) {
  expect_throw<Error>(
      [] {
        (void)close(All(), Offsets{0.5, kForever});
      },
      {"does not close", "2 neighbors"});
}

TEST(WaitPolicy, RefusesNumbersThatMakeNoSense) {
  expect_throw<Error>([] { Fastest(0); }, {"fastest 0 neighbors", "1 or more"});
  expect_throw<Error>([] { Deadline(-0.5); }, {"-0.5 seconds", "0 or more"});
  expect_throw<Error>([] { Deadline(std::nan("")); }, {"nan seconds"});
  expect_throw<Error>([] { Deadline(0.5, -1); }, {"quorum of -1", "0 or more"});
  expect_throw<Error>([] { BoundedStaleness(-1); }, {"-1 rounds", "0 or more"});
  expect_throw<Error>([] { All().learn(Offsets{0.5, kForever}); }, {"inf seconds", "given up"});
}

}  // namespace
}  // namespace gossip::policy
