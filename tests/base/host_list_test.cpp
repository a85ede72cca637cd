// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/base/host_list.h>

namespace gossip {
namespace {

using testing::ElementsAre;

TEST(HostList, HoldsPlainNames) {
  EXPECT_THAT(expand_host_list(""), testing::IsEmpty());
  EXPECT_THAT(expand_host_list("login"), ElementsAre("login"));
  EXPECT_THAT(expand_host_list("b,a-1,c.local"), ElementsAre("b", "a-1", "c.local"));
}

TEST(HostList, ExpandsRangesAndKeepsTheirDigits) {
  EXPECT_THAT(expand_host_list("node[1-4,7]"),
              ElementsAre("node1", "node2", "node3", "node4", "node7"));
  EXPECT_THAT(expand_host_list("node[08-10],x[3]y"),
              ElementsAre("node08", "node09", "node10", "x3y"));
  EXPECT_THAT(expand_host_list("r[1-2]n[0-1]"), ElementsAre("r1n0", "r1n1", "r2n0", "r2n1"));
}

TEST(HostList, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"node[1-4", "'[' without ']'"},
      {"node1]", "']' without '['"},
      {"node[]", "'' is no number"},
      {"node[a-b]", "'a' is no number"},
      {"node[1-2x]", "'2x' is no number"},
      {"node[4-1]", "4-1 runs backwards"},
      {"a,,b", "an empty name"},
      {",a", "an empty name"},
      {"a,", "a comma at the end"},
      {"n[0-99999999]", "more than a million names"},
      {"n[0-9999]m[0-9999]", "more than a million names"},
      {"n[0-999999],m", "more than a million names"},
  };
  for (const auto& [list, what] : cases) {
    const std::string text = list;
    EXPECT_THAT([&] { static_cast<void>(expand_host_list(text)); },
                testing::ThrowsMessage<Error>(
                    testing::AllOf(testing::HasSubstr("'" + text + "' is not a list of hosts"),
                                   testing::HasSubstr(what))));
  }
}

}  // namespace
}  // namespace gossip
