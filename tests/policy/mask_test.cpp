// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <vector>

#include <libgossip/policy/mask.h>

#include "policy_test_support.h"

namespace gossip::policy {
namespace {

using test::expect_throw;

TEST(Mask, IsAWordWithTheLowestRankInBitZero) {
  EXPECT_EQ(to_word({}), 0U);
  EXPECT_EQ(to_word({true, false, true, true}), 0b1101U);
  EXPECT_EQ(to_word(Mask(64, true)), ~std::uint64_t{0});
}

TEST(Mask, OfMoreNeighborsThanAHeaderHoldsIsRefused) {
  expect_throw<Error>([] { (void)to_word(Mask(65, false)); }, {"65 neighbors", "at most 64"});
}

TEST(Mask, IsReadOverTheNeighborsOfItsSender) {
  const std::vector<topology::Neighbor> neighbors{{2, 0.25}, {5, 0.25}, {9, 0.25}};
  const std::uint64_t word = to_word({true, false, true});

  EXPECT_TRUE(contains(word, neighbors, 2));
  EXPECT_FALSE(contains(word, neighbors, 5));
  EXPECT_TRUE(contains(word, neighbors, 9));
  EXPECT_FALSE(contains(word, neighbors, 0)) << "no neighbor of the sender";
  EXPECT_FALSE(contains(word, neighbors, 10)) << "no neighbor of the sender";
}

TEST(Agreed, AreEdgesThatBothEndsAccepted) {
  Mask used(7, true);

  find_agreed({true, true, false, false}, {true, false, true, false}, used);

  EXPECT_EQ(used, Mask({true, false, false, false}));
}

TEST(Agreed, NeedsAnswersOfTheSameRound) {
  Mask used;
  expect_throw<Error>([&] { find_agreed({true}, {true, true}, used); }, {"1 and of 2 neighbors"});
}

}  // namespace
}  // namespace gossip::policy
