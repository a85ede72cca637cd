// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <libgossip/algorithm/async_gossip.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {
namespace {

TEST(AsyncGossip, DampsOldModels) {
  const AsyncGossip method;

  EXPECT_EQ(method.weight(0.25, 0), 0.25);
  EXPECT_NEAR(method.weight(0.25, 3), 0.125, 1e-16);
  EXPECT_NEAR(method.weight(0.5, 99), 0.05, 1e-16);
  EXPECT_NEAR(AsyncGossip(2.0).weight(1.0, 1), 0.25, 1e-16);
  EXPECT_EQ(AsyncGossip(0.0).weight(0.25, 1000), 0.25);
}

TEST(AsyncGossip, RefusesExponentsAndStalenessBelowZero) {
  EXPECT_THROW(AsyncGossip(-0.5), Error);
  EXPECT_THROW((void)AsyncGossip().weight(0.5, -1), Error);
}

}  // namespace
}  // namespace gossip::algorithm
