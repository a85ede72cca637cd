// SPDX-License-Identifier: Apache-2.0
#include <latch>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/train/background_writer.h>

#include "support/expect_throw.h"

namespace gossip::train {
namespace {

TEST(BackgroundWriter, DoesJobsInTheirOrder) {
  std::string done;
  BackgroundWriter writer;
  EXPECT_TRUE(writer.is_idle());
  writer.wait();
  for (const char letter : std::string("abc")) writer.add([&done, letter] { done += letter; });
  writer.wait();
  EXPECT_EQ(done, "abc");
  EXPECT_TRUE(writer.is_idle());
}

TEST(BackgroundWriter, DoesNotHoldItsCallerUp) {
  std::latch go(1);
  BackgroundWriter writer;
  writer.add([&] { go.wait(); });
  EXPECT_FALSE(writer.is_idle());
  writer.check();
  go.count_down();
  writer.wait();
}

TEST(BackgroundWriter, FinishesBeforeItsEnd) {
  int done = 0;
  {
    BackgroundWriter writer;
    for (int i = 0; i < 10; ++i) writer.add([&] { ++done; });
  }
  EXPECT_EQ(done, 10);
}

TEST(BackgroundWriter, ThrowsWhatAJobThrewOnce) {
  bool is_dropped = true;
  std::latch go(1);
  BackgroundWriter writer;
  writer.add([&] {
    go.wait();
    throw Error("the disk is full");
  });
  writer.add([&] { is_dropped = false; });
  go.count_down();
  test::expect_throw<Error>([&] { writer.wait(); }, {"the disk is full"});
  EXPECT_TRUE(is_dropped);
  writer.check();
  writer.add([&] { is_dropped = false; });
  writer.wait();
  EXPECT_FALSE(is_dropped);
}

}  // namespace
}  // namespace gossip::train
