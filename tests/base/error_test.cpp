// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/base/version.h>

namespace gossip {
namespace {

TEST(Check, ThrowsTheFormattedMessage) {
  const auto check = [](int size) { GOSSIP_CHECK(size > 0, "There are {} ranks: add one.", size); };

  EXPECT_NO_THROW(check(1));
  EXPECT_THAT([&] { check(0); }, testing::ThrowsMessage<Error>("There are 0 ranks: add one."));
}

TEST(Check, FormatsNothingWhileTheConditionHolds) {
  int formatted = 0;

  GOSSIP_CHECK(formatted == 0, "{}", ++formatted);

  EXPECT_EQ(formatted, 0);
}

TEST(Check, IsOneStatement) {
  bool is_else = false;

  if (const bool holds = true; !holds)
    GOSSIP_CHECK(holds, "not reached");
  else
    is_else = true;

  EXPECT_TRUE(is_else);
}

TEST(AssertDeathTest, TerminatesWithPlaceConditionAndMessage) {
  const int slots = 3;

  GOSSIP_ASSERT(slots == 3, "not reached");
  EXPECT_DEATH(GOSSIP_ASSERT(slots == 2, "{} slots", slots),
               "error_test.cpp:[0-9]+: broken invariant `slots == 2`: 3 slots");
}

TEST(Errors, HaveOneRootAndCarryWhatWentWrong) {
  const MpiError mpi(17, "no memory");
  const TimeoutError timeout(3, "rank 3 is late");

  EXPECT_EQ(mpi.code(), 17);
  EXPECT_EQ(timeout.peer(), 3);
  EXPECT_STREQ(static_cast<const Error&>(mpi).what(), "no memory");
  EXPECT_STREQ(static_cast<const Error&>(timeout).what(), "rank 3 is late");
  EXPECT_THROW(throw JointError("all disagree"), Error);
}

TEST(Version, TextAndNumbersAgree) {
  EXPECT_EQ(std::string(kVersion),
            fmt::format("{}.{}.{}", kVersionMajor, kVersionMinor, kVersionPatch));
}

}  // namespace
}  // namespace gossip
