// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/notice.h>

namespace gossip {
namespace {

using namespace std::chrono_literals;

constexpr const char* kWhom = "rank 7 to send its next message";

/// What is said while `body` runs.
template <class Body>
std::string said_by(const Body& body) {
  testing::internal::CaptureStderr();
  body();
  return testing::internal::GetCapturedStderr();
}

void look(const Deadline& deadline) {
  Notice(0, deadline).look([] { return kWhom; });
}

/// A wait that `began` so long ago, up to its end.
std::string said_in_a_wait(std::chrono::milliseconds timeout, std::chrono::milliseconds began) {
  const Deadline deadline(timeout, RunningClock::now() - began);
  return said_by([&] {
    EXPECT_FALSE(wait_until(
        deadline, [] { return false; }, [&] { look(deadline); }));
  });
}

TEST(Notice, ComesInAWaitThatEndsAfterTenSeconds) {
  const std::string said = said_in_a_wait(10s, 9950ms);

  EXPECT_NE(said.find("waiting for rank 7 to send its next message (10 s of at most 10 s)"),
            std::string::npos)
      << said;
}

TEST(Notice, ComesOnceInAWaitThatGoesOn) {
  const std::string said = said_in_a_wait(10'350ms, 9950ms);

  EXPECT_NE(said.find("waiting for"), std::string::npos);
  EXPECT_EQ(said.find("waiting for"), said.rfind("waiting for")) << said;
}

TEST(Notice, DoesNotComeInAShorterWait) { EXPECT_EQ(said_in_a_wait(9s, 8950ms), ""); }

TEST(Notice, ComesInTheNextOfManyCallsWhenTenSecondsPassedBetweenTwo) {
  const Deadline deadline(1min);
  EXPECT_EQ(said_by([&] { look(deadline); }), "");

  RunningClock::skip(10s);

  EXPECT_NE(said_by([&] { look(deadline); }).find(kWhom), std::string::npos);
  EXPECT_EQ(said_by([&] { look(deadline); }), "");
}

TEST(Notice, SaysNoLimitWhereThereIsNone) {
  const Deadline deadline(std::chrono::milliseconds::max());
  RunningClock::skip(12s);

  const std::string said = said_by([&] { look(deadline); });

  EXPECT_NE(said.find("waiting for rank 7 to send its next message (12 s)"), std::string::npos)
      << said;
}

}  // namespace
}  // namespace gossip
