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

TEST(HostList, EndsAtTheLargestNumber) {
  EXPECT_THAT(expand_host_list("n[18446744073709551615]"), ElementsAre("n18446744073709551615"));
  EXPECT_THAT(expand_host_list("n[18446744073709551614-18446744073709551615]"),
              ElementsAre("n18446744073709551614", "n18446744073709551615"));
}

TEST(HostList, IsRefusedWhenItsNamesWouldFillTheMemory) {
  const std::string wide(100'000, '0');
  const std::pair<std::string, const char*> cases[] = {
      {"n[" + wide + "1-" + wide + "9]", "a number of 100001 digits, more than 64"},
      {wide + "[1-1000]", "its names have more than 67108864 characters together"},
      {"[1-1000]" + wide, "its names have more than 67108864 characters together"},
  };
  for (const auto& [list, what] : cases) {
    const std::string text = list;
    EXPECT_THAT([&] { static_cast<void>(expand_host_list(text)); },
                testing::ThrowsMessage<Error>(testing::HasSubstr(what)));
  }
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
      {"n[+1]", "'+1' is no number"},
      {"n[1-18446744073709551616]", "'18446744073709551616' is no number"},
      {"n[1-1000000000]", "more than 1048576 names"},
      {"n[0-18446744073709551615]", "more than 1048576 names"},
      {"n[0-9999]m[0-9999]", "more than 1048576 names"},
      {"n[0-4294967295]m[0-4294967295]", "more than 1048576 names"},
      {"n[0-1048575],m", "more than 1048576 names"},
      {"n[0-1048575,7]", "more than 1048576 names"},
      {"n[1[2-3]]", "'1[2' is no number"},
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
