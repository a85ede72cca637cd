// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include <libgossip/base/random.h>

#include "policy_test_support.h"

namespace gossip::policy {
namespace {

using test::expect_throw;
using test::ranks_in;

using Offsets = std::vector<double>;

/// The deadline after these offsets, with no more of them than are needed.
double deadline_of(const Offsets& offsets) {
  AdaptiveDeadline policy({.least_known = 1, .slack = 0.1});
  policy.learn(offsets);
  return policy.seconds();
}

TEST(AdaptiveDeadline, IsTheMedianAndAMargin) {
  EXPECT_NEAR(deadline_of({0.2, 0.3, 0.25, 0.22, 0.9, 0.28, 0.24, 0.26}), 0.388434, 1e-12);
  EXPECT_NEAR(deadline_of({0, 0, 0, 0, 0, 0, 0, 0, 0, 4}), 0.1, 1e-12) << "the slack";
  EXPECT_NEAR(deadline_of({1, 2, 3, 4, 100}), 7.4478, 1e-12);
}

TEST(AdaptiveDeadline, WaitsForAllUntilSixteenOffsetsAreKnown) {
  AdaptiveDeadline policy({.slack = 0.5});
  const Offsets late{0.0, 8.0};

  policy.learn(Offsets(15, 1.0));
  EXPECT_EQ(policy.seconds(), kForever);
  EXPECT_EQ(close(policy, late).seconds, 8.0);

  policy.learn(Offsets{1.0});
  EXPECT_EQ(policy.seconds(), 1.5);
  const Closing closing = close(policy, late);
  EXPECT_EQ(closing.seconds, 1.5);
  EXPECT_EQ(ranks_in(closing.accepted), std::vector<Rank>({0}));
}

TEST(AdaptiveDeadline, IsNeverLaterThanItsCap) {
  AdaptiveDeadline policy({.slack = 0.5, .cap = 1.25});

  policy.learn(Offsets(16, 1.0));

  EXPECT_EQ(policy.seconds(), 1.25);
}

TEST(AdaptiveDeadline, HasATenthOfAStepForSlack) {
  AdaptiveDeadline policy;
  policy.learn(Offsets(16, 1.0));

  EXPECT_EQ(policy.seconds(5.0), 1.5);
  EXPECT_EQ(policy.seconds(), kForever) << "the step is not known";
}

TEST(AdaptiveDeadline, ForgetsWhatIsOlderThanItsWindow) {
  AdaptiveDeadline policy({.window = 4, .least_known = 4, .slack = 0.0});

  policy.learn(Offsets{9, 9, 9, 9, 1});
  policy.learn(Offsets{1, 1});
  EXPECT_EQ(policy.seconds(), 1.0);
  policy.learn(Offsets{9, 9});

  // 1, 1, 9 and 9: the median is 5, and each is 4 away from it.
  EXPECT_NEAR(policy.seconds(), 5.0 + 3.0 * 1.4826 * 4.0, 1e-12);
}

TEST(AdaptiveDeadline, TakesWhatWasThereBeforeAsOnTime) {
  AdaptiveDeadline policy({.slack = 0.0});

  policy.learn(Offsets(16, -3.0));

  EXPECT_EQ(policy.seconds(), 0.0);
}

/// Deadlines before each of the groups of four offsets after the first sixteen, all exponential
/// with the mean 1.
std::vector<double> deadlines_of_groups(bool learns_of_late_ones) {
  AdaptiveDeadline policy({.kappa = 1.0, .slack = 0.0});
  SplitMix64 random(11);
  Offsets offsets(4000);
  for (double& offset : offsets) offset = -std::log1p(-random.unit());
  std::vector<double> deadlines;
  policy.learn(std::span(offsets).first(16));
  for (std::size_t begin = 16; begin < offsets.size(); begin += 4) {
    deadlines.push_back(policy.seconds());
    Offsets learned;
    for (std::size_t m = begin; m < begin + 4; ++m) {
      if (learns_of_late_ones || offsets[m] <= deadlines.back()) learned.push_back(offsets[m]);
    }
    policy.learn(learned);
  }
  return deadlines;
}

void expect_deadlines(const std::vector<double>& deadlines, const std::vector<double>& some,
                      double mean_of_last_100) {
  constexpr std::size_t kGroups[] = {0, 15, 50, 200, 900};
  for (std::size_t k = 0; k < some.size(); ++k) {
    EXPECT_NEAR(deadlines[kGroups[k]], some[k], 1e-12) << kGroups[k];
  }
  EXPECT_NEAR(std::accumulate(deadlines.end() - 100, deadlines.end(), 0.0) / 100, mean_of_last_100,
              1e-12);
}

// Values of an independent implementation.
TEST(AdaptiveDeadline, StaysWhereItIsWhenItLearnsOfLateOnes) {
  expect_deadlines(deadlines_of_groups(true),
                   {1.1221043119903156, 1.9353076868846464, 1.8227688176307677, 1.3543319161597123,
                    1.7257748614480035},
                   1.4666656691846383);
}

TEST(AdaptiveDeadline, FallsAndFallsWhenItLearnsOfAcceptedOnesOnly) {
  expect_deadlines(deadlines_of_groups(false),
                   {1.1221043119903156, 0.9431567364064166, 0.6765546709155421, 0.19895033530017797,
                    0.06525240257393818},
                   0.059629557962878076);
}

TEST(AdaptiveDeadline, RefusesOptionsThatMakeNoSense) {
  const auto make = [](AdaptiveDeadlineOptions options) { AdaptiveDeadline policy(options); };

  expect_throw<Error>([&] { make({.window = 0}); }, {"window of 0", "1 or more"});
  expect_throw<Error>([&] { make({.least_known = 0}); }, {"when 0 offsets", "between 1 and"});
  expect_throw<Error>([&] { make({.window = 8}); }, {"when 16 offsets", "window of 8"});
  expect_throw<Error>([&] { make({.kappa = -1.0}); }, {"-1 deviations", "0 or more"});
  expect_throw<Error>([&] { make({.slack = -0.5}); }, {"-0.5 seconds of slack", "0 or more"});
  expect_throw<Error>([&] { make({.cap = -2.0}); }, {"at most -2 seconds", "0 or more"});
}

TEST(AdaptiveDeadline, RefusesOffsetsThatAreNoNumbers) {
  AdaptiveDeadline policy;

  expect_throw<Error>([&] { policy.learn(Offsets{std::nan("")}); }, {"nan seconds", "given up"});
  expect_throw<Error>([&] { policy.learn(Offsets{kForever}); }, {"inf seconds", "given up"});
}

}  // namespace
}  // namespace gossip::policy
