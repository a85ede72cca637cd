// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <libgossip/policy/factory.h>

#include "policy_test_support.h"

namespace gossip::policy {
namespace {

using test::expect_throw;

template <class Policy>
bool makes(const char* text) {
  const std::unique_ptr<WaitPolicy> policy = make_wait_policy(text);
  return dynamic_cast<const Policy*>(policy.get()) != nullptr;
}

bool waits_for_age(const char* text, std::int64_t age) {
  const std::vector<NeighborView> neighbors{{.has_arrived = true, .age = age}};
  return !make_wait_policy(text)->decide({.neighbors = neighbors}).closes;
}

// What the numbers do is in ClosesLikeTheReference.
TEST(MakeWaitPolicy, KnowsEachPolicy) {
  EXPECT_TRUE(makes<All>("all"));
  EXPECT_TRUE(makes<Fastest>("fastest:1"));
  EXPECT_TRUE(makes<Deadline>("deadline:0"));
  EXPECT_TRUE(makes<Deadline>("deadline:1e-3:0"));
  EXPECT_TRUE(makes<AdaptiveDeadline>("adaptive"));
  EXPECT_TRUE(makes<BoundedStaleness>("stale"));
  EXPECT_TRUE(makes<BoundedStaleness>("stale:0"));
}

TEST(MakeWaitPolicy, TakesFourRoundsOfStalenessUnlessItIsTold) {
  EXPECT_FALSE(waits_for_age("stale", 4));
  EXPECT_TRUE(waits_for_age("stale", 5));
  EXPECT_FALSE(waits_for_age("stale:7", 7));
  EXPECT_TRUE(waits_for_age("stale:7", 8));
}

TEST(MakeWaitPolicy, GivesTheAdaptiveDeadlineItsCap) {
  const std::unique_ptr<WaitPolicy> policy = make_wait_policy("adaptive", 0.25);

  policy->learn(std::vector<double>(16, 1.0));

  EXPECT_EQ(dynamic_cast<AdaptiveDeadline&>(*policy).seconds(1.0), 0.25);
}

TEST(MakeWaitPolicy, SuggestsTheNearestName) {
  expect_throw<Error>([] { (void)make_wait_policy("fastset:2"); },
                      {"no wait policy 'fastset'", "'fastest'", "Known: all, fastest, deadline"});
  expect_throw<Error>([] { (void)make_wait_policy(""); }, {"no wait policy ''"});
  expect_throw<Error>([] { (void)make_wait_policy("All"); }, {"'All'", "'all'"});
}

TEST(MakeWaitPolicy, NamesTheTextAndWhatWouldBeRight) {
  const auto expect_error = [](const char* text, std::vector<std::string> parts) {
    parts.insert(parts.begin(), "'" + std::string(text) + "'");
    expect_throw<Error>([text] { (void)make_wait_policy(text); }, parts);
  };

  expect_error("all:1", {"look like all"});
  expect_error("all:", {"look like all"});
  expect_error("fastest", {"look like fastest:2,"});
  expect_error("fastest:2:3", {"look like fastest:2,"});
  expect_error("fastest:0", {"number of neighbors", "'0'", "whole number between 1 and"});
  expect_error("fastest:1.5", {"'1.5'", "whole number between 1 and"});
  expect_error("fastest:", {"''", "whole number between 1 and"});
  expect_error("deadline", {"look like deadline:0.3,", "or deadline:0.3:2"});
  expect_error("deadline:-1", {"seconds", "'-1'", "from 0 on"});
  expect_error("deadline:soon", {"'soon'", "such as deadline:0.3"});
  expect_error("deadline:inf", {"'inf'", "from 0 on"});
  expect_error("deadline:nan", {"'nan'", "from 0 on"});
  expect_error("deadline:0.3s", {"'0.3s'", "from 0 on"});
  expect_error("deadline:0.3:-1", {"quorum", "'-1'", "whole number between 0 and"});
  expect_error("deadline:0.3:2:1", {"look like deadline:0.3,"});
  expect_error("adaptive:3", {"look like adaptive"});
  expect_error("stale:-1", {"number of rounds", "'-1'", "whole number between 0 and"});
  expect_error("stale:4:4", {"look like stale:4,"});
}

}  // namespace
}  // namespace gossip::policy
