// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <latch>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/checkpoint/background_writer.h>

namespace gossip::checkpoint {
namespace {

TEST(BackgroundWriter, DoesJobsInTheirOrder) {
  std::string done;
  BackgroundWriter writer;
  EXPECT_FALSE(writer.current());
  writer.wait();
  for (const char letter : std::string("abc")) writer.add(1, [&done, letter] { done += letter; });
  writer.wait();
  EXPECT_EQ(done, "abc");
  EXPECT_FALSE(writer.current());
}

TEST(BackgroundWriter, DoesNotHoldItsCallerUp) {
  std::latch go(1);
  BackgroundWriter writer;
  writer.add(7, [&] { go.wait(); });
  writer.wait_for(std::chrono::milliseconds(1));
  EXPECT_EQ(writer.current(), 7);
  EXPECT_FALSE(writer.has_failed());
  go.count_down();
  writer.wait();
}

TEST(BackgroundWriter, FinishesBeforeItsEnd) {
  int done = 0;
  {
    BackgroundWriter writer;
    for (int i = 0; i < 10; ++i) writer.add(i, [&] { ++done; });
  }
  EXPECT_EQ(done, 10);
}

TEST(BackgroundWriter, AFailedJobKeepsNoOtherFromBeingDone) {
  std::string done;
  std::latch go(1);
  BackgroundWriter writer;
  writer.add(5, [&] {
    go.wait();
    throw Error("the disk is full");
  });
  writer.add(6, [&] { done += 'b'; });
  writer.add(7, [] { throw 7; });  // NOLINT
  writer.add(8, [&] { done += 'd'; });
  go.count_down();
  writer.wait();
  EXPECT_EQ(done, "bd");
  EXPECT_TRUE(writer.has_failed());
  const std::vector<BackgroundWriter::Failure> failures = writer.take_failures();
  ASSERT_EQ(failures.size(), 2U);
  EXPECT_EQ(failures[0].set, 5);
  EXPECT_EQ(failures[0].why, "the disk is full");
  EXPECT_EQ(failures[1].set, 7);
  EXPECT_FALSE(writer.has_failed());
  EXPECT_TRUE(writer.take_failures().empty());
}

}  // namespace
}  // namespace gossip::checkpoint
