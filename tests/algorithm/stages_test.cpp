// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/algorithm/all_reduce.h>
#include <libgossip/algorithm/exact_diffusion.h>
#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// "evaluate update pull(0)": a step in words.
std::string words(const Algorithm& algorithm, std::int64_t step) {
  std::string text;
  for (const Stage& stage : algorithm.stages(step)) {
    if (!text.empty()) text += ' ';
    if (stage.action == Action::kEvaluate) text += "evaluate";
    if (stage.action == Action::kLocalUpdate) {
      text += "update";
      for (const Term& term : stage.terms) text += std::to_string(term.vector);
    }
    if (stage.action == Action::kMix) {
      text += "pull";
      for (const int vector : stage.vectors) text += std::to_string(vector);
      if (stage.sent != kNoVector) text += "+" + std::to_string(stage.sent);
    }
    if (stage.action == Action::kCombine) {
      text += std::to_string(stage.vectors.front()) + "=";
      for (const Term& term : stage.terms) {
        text += (term.factor < 0 ? "-" : "+") + std::to_string(term.vector);
      }
    }
    if (stage.action == Action::kMean) text += "mean" + std::to_string(stage.vectors.front());
  }
  return text;
}

std::vector<std::string> words_of_steps(const Algorithm& algorithm, std::int64_t steps) {
  std::vector<std::string> result;
  for (std::int64_t step = 0; step < steps; ++step) result.push_back(words(algorithm, step));
  return result;
}

TEST(AllReduce, AveragesTheGradientBeforeTheUpdateInEveryStep) {
  const AllReduce method;

  EXPECT_THAT(words_of_steps(method, 2),
              ElementsAre("evaluate mean1 update", "evaluate mean1 update"));
  EXPECT_TRUE(method.averages_gradient());
  EXPECT_EQ(method.mixing_needs(), MixingNeeds::kNone);
  EXPECT_EQ(method.name(), "allreduce");
}

TEST(GossipSGD, OrdersDifferInWhereTheModelIsMixed) {
  const GossipSGD standard;
  EXPECT_EQ(words(standard, 0), "evaluate update pull0");
  EXPECT_EQ(words(GossipSGD(MixingOrder::kAdaptThenCombine), 5), "evaluate update pull0");
  EXPECT_EQ(words(GossipSGD(MixingOrder::kCombineThenAdapt), 5), "evaluate pull0 update");
  EXPECT_EQ(words(GossipSGD(MixingOrder::kDiffusion), 5), "pull0 evaluate update");
  EXPECT_EQ(standard.mixing_needs(), MixingNeeds::kDoublyStochastic);
  EXPECT_FALSE(standard.averages_gradient());
  EXPECT_EQ(standard.name(), "gossip-sgd");
}

TEST(GradientTracking, GivesTheTrackerToTheUpdate) {
  EXPECT_THAT(words_of_steps(GradientTracking(), 2),
              ElementsAre("evaluate 3=+2+1 update3 pull0+3", "evaluate 3=+2+1 update3 pull0+3"));
  EXPECT_EQ(words(GradientTracking(TrackingOrder::kDIGing), 4), "evaluate 3=+2+1 pull0+3 update3");
  EXPECT_THAT(words_of_steps(GradientTracking(TrackingOrder::kATC), 2),
              ElementsAre("evaluate 2=+2+1-3 3=+1 update2 pull0",
                          "evaluate 2=+2+1-3 3=+1 pull2 update2 pull0"));
  EXPECT_EQ(GradientTracking().state().size(), 1U);
  EXPECT_TRUE(GradientTracking().combines_gradient());
  EXPECT_FALSE(GradientTracking().changes_gradient());
}

TEST(ExactDiffusion, StartsItsVectorWithTheFirstUpdate) {
  EXPECT_THAT(
      words_of_steps(ExactDiffusion(), 2),
      ElementsAre("evaluate update 2=+0 pull0", "evaluate 2=+0-2 update 0=+0+2 2=+0-2 pull0"));
  EXPECT_EQ(ExactDiffusion().mixing_needs(), MixingNeeds::kSymmetric);
  EXPECT_EQ(ExactDiffusion().state().size(), 1U);
}

TEST(GossipSGD, MixesAfterTheLastOfSeveralLocalSteps) {
  EXPECT_THAT(words_of_steps(GossipSGD(MixingOrder::kAdaptThenCombine, 3), 6),
              ElementsAre("evaluate update", "evaluate update", "evaluate update pull0",
                          "evaluate update", "evaluate update", "evaluate update pull0"));
  EXPECT_THAT(words_of_steps(GossipSGD(MixingOrder::kCombineThenAdapt, 2), 4),
              ElementsAre("evaluate update", "evaluate pull0 update", "evaluate update",
                          "evaluate pull0 update"));
}

TEST(GossipSGD, DiffusionMixesBeforeTheFirstOfSeveralLocalSteps) {
  EXPECT_THAT(words_of_steps(GossipSGD(MixingOrder::kDiffusion, 3), 4),
              ElementsAre("pull0 evaluate update", "evaluate update", "evaluate update",
                          "pull0 evaluate update"));
}

TEST(GossipSGD, RefusesLessThanOneLocalStep) {
  for (const std::int64_t steps : {0, -3}) {
    try {
      const GossipSGD method(MixingOrder::kAdaptThenCombine, steps);
      ADD_FAILURE() << steps << " local steps were accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("local_steps is " + std::to_string(steps)));
    }
  }
}

}  // namespace
}  // namespace gossip::algorithm
