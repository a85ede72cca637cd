// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/train/adaptive_period.h>

namespace gossip::train {
namespace {

TEST(AdaptivePeriod, FollowsTheRootOfTheLoss) {
  AdaptivePeriod period(16);
  EXPECT_EQ(period.period(), 16);
  period.update(2.0);
  EXPECT_EQ(period.period(), 16) << "the first loss is what others are compared with";
  period.update(0.5);
  EXPECT_EQ(period.period(), 8);
  period.update(0.32);
  EXPECT_EQ(period.period(), 7);  // ceil(0.4 * 16)
}

TEST(AdaptivePeriod, ShrinksWhereTheLossDoesNot) {
  AdaptivePeriod period(10, 0.5);
  period.update(1.0);
  period.update(1.2);
  EXPECT_EQ(period.period(), 5);
  period.update(0.5);
  EXPECT_EQ(period.period(), 3);  // 8 would be longer
  for (int i = 0; i < 5; ++i) period.update(1.0);
  EXPECT_EQ(period.period(), 1);
}

TEST(AdaptivePeriod, TheLongestOneShrinksAsOthersDo) {
  constexpr std::int64_t kLongest = std::numeric_limits<std::int64_t>::max();
  AdaptivePeriod period(kLongest, 0.5);
  period.update(1.0);
  period.update(2.0);
  EXPECT_EQ(period.period(), kLongest / 2 + 1);
  period.update(1e-30);
  EXPECT_EQ(period.period(), 9224);  // ceil(1e-15 * 2^63)
}

TEST(AdaptivePeriod, ShrinksStepByStepAlsoWhenTheLossGrowsBeyondAllNumbers) {
  AdaptivePeriod period(16, 0.5);
  period.update(1e-300, 1e-10);
  period.update(1e300, 1e-300);
  EXPECT_EQ(period.period(), 8);
}

TEST(AdaptivePeriod, AllowsForTheLearningRate) {
  AdaptivePeriod period(16);
  period.update(1.0, 0.1);
  period.update(0.0625, 0.025);  // a 16th of the loss, a quarter of the rate
  EXPECT_EQ(period.period(), 8);
}

TEST(AdaptivePeriod, CommunicatesInTheLastStepOfAPeriod) {
  AdaptivePeriod period(3);
  std::vector<bool> steps;
  for (int i = 0; i < 7; ++i) steps.push_back(period.communicates());
  EXPECT_THAT(steps, testing::ElementsAre(false, false, true, false, false, true, false));
  period.update(1.0);
  period.update(0.1);  // to 1 step, and one is made
  EXPECT_TRUE(period.communicates());
}

TEST(AdaptivePeriod, RefusesWhatMakesNoSense) {
  EXPECT_THROW(AdaptivePeriod(0), Error);
  EXPECT_THROW(AdaptivePeriod(4, 1.0), Error);
  AdaptivePeriod period(4);
  EXPECT_THROW(period.update(std::numeric_limits<double>::quiet_NaN()), Error);
  EXPECT_THROW(period.update(0.0), Error);
  EXPECT_THROW(period.update(1.0, -0.1), Error);
}

}  // namespace
}  // namespace gossip::train
