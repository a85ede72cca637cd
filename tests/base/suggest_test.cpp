// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/suggest.h>

namespace gossip {
namespace {

const std::vector<std::string> kKnown = {"ring", "directed-ring", "star", "one-peer-exponential"};

TEST(UnknownName, SuggestsWhatIsNear) {
  EXPECT_EQ(unknown_name("topology", "rnig", kKnown),
            "There is no topology 'rnig'. Did you mean 'ring'? Known: ring, directed-ring, star, "
            "one-peer-exponential.");
}

TEST(UnknownName, SuggestsNothingWhenNothingIsNear) {
  EXPECT_EQ(unknown_name("optimizer", "hypercube", kKnown),
            "There is no optimizer 'hypercube'. Known: ring, directed-ring, star, "
            "one-peer-exponential.");
}

TEST(UnknownName, ForgivesMoreInALongName) {
  const std::string message = unknown_name("topology", "onepeerexponental", kKnown);

  EXPECT_NE(message.find("Did you mean 'one-peer-exponential'?"), std::string::npos) << message;
}

TEST(UnknownName, NamesAllThatAreNear) {
  const std::vector<std::string> known = {"star", "stair", "path"};

  EXPECT_EQ(unknown_name("topology", "sta", known),
            "There is no topology 'sta'. Did you mean 'star' or 'stair'? Known: star, stair, "
            "path.");
}

TEST(UnknownName, CountsInsertionDeletionAndReplacementOnceEach) {
  const std::vector<std::string> known = {"abcdef"};
  const auto is_near = [&](const char* name) {
    return unknown_name("x", name, known).find("Did you") != std::string::npos;
  };

  EXPECT_TRUE(is_near("abcdefgh"));  // two insertions
  EXPECT_TRUE(is_near("abcd"));      // two deletions
  EXPECT_TRUE(is_near("xbcdey"));    // two replacements
  EXPECT_FALSE(is_near("xbcdyz"));   // three replacements
  EXPECT_FALSE(is_near("abc"));      // three deletions
  EXPECT_FALSE(is_near(""));
}

}  // namespace
}  // namespace gossip
