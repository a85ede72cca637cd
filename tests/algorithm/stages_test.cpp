// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/algorithm/all_reduce.h>
#include <libgossip/algorithm/exact_diffusion.h>
#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/algorithm/interpret.h>
#include <libgossip/algorithm/push_diging.h>
#include <libgossip/algorithm/push_pull.h>
#include <libgossip/algorithm/push_sum_sgd.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string words_of(const Evaluate& /*stage*/) { return "evaluate"; }

std::string words_of(const LocalUpdate& stage) {
  return stage.along == kGradient ? "update" : "update" + std::to_string(stage.along);
}

std::string words_of(const Compress& stage) { return "compress" + std::to_string(stage.vector); }

std::string words_of(const Combine& stage) {
  std::string text = std::to_string(stage.vector) + "=";
  for (const Term& term : stage.terms) {
    text += (term.factor < 0 ? "-" : "+") + std::to_string(term.vector);
  }
  return text;
}

std::string words_of(const Mix& stage) {
  std::string text;
  if (!stage.pulled.empty()) text += "pull";
  for (const int vector : stage.pulled) text += std::to_string(vector);
  if (!stage.pushed.empty()) text += "push";
  for (const int vector : stage.pushed) text += std::to_string(vector);
  if (stage.carries_weight) text += "w";
  if (stage.correction) text += "+" + std::to_string(stage.correction->sent);
  return text;
}

std::string words_of(const Mean& stage) { return "mean" + std::to_string(stage.vector); }

/// "evaluate update pull0": a step in words.
std::string words(const Algorithm& algorithm, std::int64_t step) {
  std::string text;
  for (const Stage& stage : algorithm.stages(step)) {
    if (!text.empty()) text += ' ';
    text += std::visit([](const auto& one) { return words_of(one); }, stage);
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

TEST(PushDIGing, PushesTheWeightWithTheModel) {
  EXPECT_EQ(words(PushDIGing(), 3), "evaluate 3=+2+1 0=+0 update3 push0w+3 0=+0");
  EXPECT_TRUE(PushDIGing().pushes());
  EXPECT_TRUE(PushDIGing().skips_rounds());
}

TEST(PushSumSGD, PushesTheNumeratorBesideTheModel) {
  EXPECT_EQ(words(PushSumSGD(), 3), "evaluate update 3=+2-2+0 w+3 0=+2");
  EXPECT_EQ(PushSumSGD().state().front(), "numerator");
  EXPECT_EQ(PushSumSGD().mixing_needs(), MixingNeeds::kDirected);
  EXPECT_FALSE(PushSumSGD().skips_rounds()) << "a step without communication uses no round";
}

TEST(PushPull, SkipsTheRoundsOfStepsThatDoNotCommunicate) {
  const PushPull sampled([](std::int64_t step) { return step == 0; });
  EXPECT_EQ(words(sampled, 0), "evaluate 2=+2+1-3 3=+1 update2 pull0push2");
  EXPECT_EQ(words(sampled, 1), "pull0push2");
  EXPECT_TRUE(sampled.skips_rounds());
  EXPECT_TRUE(PushPull().skips_rounds());
}

/// What a driver is given of a step.
struct Seen {
  std::string& text;
  void operator()(const Combinations& stages) const {
    text += "(";
    for (std::size_t i = 0; i < stages.size(); ++i) text += words_of(stages[i]) + ";";
    text += ")";
  }
  template <class Other>
  void operator()(const Other& stage) const {
    text += "[" + words_of(stage) + "]";
  }
};

TEST(Walk, TakesCombinationsThatFollowEachOtherTogetherAndAllElseOneByOne) {
  const std::vector<Stage> step{combine(2, {{kModel, 1.0}}),
                                evaluate(),
                                combine(3, {{kGradient, 1.0}}),
                                combine(2, {{2, 1.0}, {3, -1.0}}),
                                local_update(),
                                mix({kModel}),
                                mix({kModel}),
                                combine(2, {{kModel, 1.0}})};
  std::string text;
  walk(step, Seen{text});
  EXPECT_EQ(text, "(2=+0;)[evaluate](3=+1;2=+2-3;)[update][pull0][pull0](2=+0;)");

  EXPECT_EQ(before_gradient(step).size(), 1U);
  EXPECT_EQ(after_gradient(step).size(), 6U);
  EXPECT_EQ(before_communication(step).size(), 5U);
  const std::vector<Stage> without{mix({kModel})};
  EXPECT_EQ(before_gradient(without).size(), 0U);
  EXPECT_EQ(after_gradient(without).size(), 1U);
  EXPECT_EQ(before_communication(without).size(), 0U);
}

TEST(Stages, AreEqualWhenTheyDoTheSame) {
  EXPECT_EQ(mix({kModel}), push({kModel}, {}));
  EXPECT_NE(mix({kModel}), push({}, {kModel}));
  EXPECT_NE(with_sent(mix({kModel}), 3, 2), mix({kModel}));
  EXPECT_NE(with_sent(mix({kModel}), 3, 2), with_sent(mix({kModel}), 3, 2, true));
  EXPECT_NE(with_weight(push({}, {kModel})), push({}, {kModel}));
  EXPECT_NE(Stage(mean(kModel)), Stage(mean(kModel, {0, 2})));
}

TEST(Stages, AFactorIsThatOfTheStepAndFragmentsCoverAVector) {
  EXPECT_EQ(factor_of({kModel, 3.0}, 0.5, 4.0), 3.0);
  EXPECT_EQ(factor_of({kModel, 3.0, Scale::kRate}, 0.5, 4.0), 1.5);
  EXPECT_EQ(factor_of({kModel, 3.0, Scale::kPerRate}, 0.5, 4.0), 6.0);
  EXPECT_EQ(factor_of({kModel, 3.0, Scale::kWeight}, 0.5, 4.0), 12.0);
  EXPECT_EQ(factor_of({kModel, 3.0, Scale::kPerWeight}, 0.5, 4.0), 0.75);
  std::size_t end = 0;
  for (int index = 0; index < 3; ++index) {
    const auto [first, last] = range_of({index, 3}, 10);
    EXPECT_EQ(first, end);
    end = last;
  }
  EXPECT_EQ(end, 10U);
}

}  // namespace
}  // namespace gossip::algorithm
