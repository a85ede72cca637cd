// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/policy/round_closing.h>

namespace gossip::policy {
namespace {

RoundClosing::Time at(double seconds) {
  return RoundClosing::Time(
      std::chrono::duration_cast<RunningClock::duration>(std::chrono::duration<double>(seconds)));
}

/// Closes at once with whoever is there, and keeps what it learns.
class Recorder final : public WaitPolicy {
 public:
  [[nodiscard]] Verdict decide(const RoundView& view) const override {
    step_seconds = view.step_seconds;
    return {true, kForever};
  }
  void accept(const RoundView& view, Mask& accepted) const override {
    accepted.resize(view.neighbors.size());
    for (std::size_t m = 0; m < accepted.size(); ++m) {
      accepted[m] = view.neighbors[m].has_arrived;
    }
  }
  void learn(std::span<const double> offsets) override {
    learned.insert(learned.end(), offsets.begin(), offsets.end());
  }

  std::vector<double> learned;
  mutable double step_seconds = -1.0;
};

TEST(RoundClosingTest, ARoundClosesByThePolicyAndOwesWhoIsNotThere) {
  RoundClosing closing(4);
  Deadline policy(0.5);
  closing.open(0, 0, at(10.0));
  closing.add(1);
  closing.add(3);
  closing.note_arrival(3, at(10.25));
  const WaitPolicy::Verdict early = closing.ask(policy, at(10.25));
  EXPECT_FALSE(early.closes);
  EXPECT_DOUBLE_EQ(early.ask_again, 0.25);

  EXPECT_TRUE(closing.ask(policy, at(10.5)).closes);
  const Mask accepted = closing.close(policy, at(10.5));
  EXPECT_FALSE(accepted[0]);
  EXPECT_TRUE(accepted[1]);
  EXPECT_TRUE(closing.is_owed(1));
  EXPECT_FALSE(closing.is_owed(3));
  closing.forget(1);
  EXPECT_FALSE(closing.is_owed_any());
}

TEST(RoundClosingTest, OfALateValueThePolicyLearnsTheOffsetInItsOwnRound) {
  RoundClosing closing(2);
  Recorder policy;
  closing.open(0, 7, at(10.0));
  closing.add(1);
  EXPECT_TRUE(closing.ask(policy, at(10.0)).closes);
  static_cast<void>(closing.close(policy, at(10.0)));
  EXPECT_TRUE(policy.learned.empty());

  closing.open(1, 8, at(12.0));
  closing.add(1);
  closing.note_late(1, 7, policy, at(12.5));
  EXPECT_FALSE(closing.is_owed_any());
  closing.note_arrival(1, at(12.75));
  static_cast<void>(closing.ask(policy, at(13.0)));
  static_cast<void>(closing.close(policy, at(13.0)));
  EXPECT_EQ(policy.learned, (std::vector<double>{2.5, 0.75}));
}

TEST(RoundClosingTest, StepsAreFromAClosingToTheNextOwnValueButForRoundsWithoutAPolicy) {
  RoundClosing closing(2);
  Recorder policy;
  const auto round = [&](std::int64_t number, double begin) {
    closing.open(number, number, at(begin));
    closing.add(1);
    closing.note_arrival(1, at(begin));
    static_cast<void>(closing.ask(policy, at(begin + 1.0)));
    static_cast<void>(closing.close(policy, at(begin + 1.0)));
  };
  round(0, 10.0);
  EXPECT_EQ(policy.step_seconds, 0.0);  // not known
  round(1, 13.0);
  EXPECT_EQ(policy.step_seconds, 2.0);
  closing.rest();
  round(2, 100.0);
  EXPECT_EQ(policy.step_seconds, 2.0);
}

}  // namespace
}  // namespace gossip::policy
