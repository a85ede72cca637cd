// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include <gtest/gtest.h>

#include <libgossip/base/variables.h>

namespace gossip {
namespace {

TEST(Variables, AreThoseOfTheProcess) {
  setenv("GOSSIP_TEST_VARIABLE", "some text", 1);
  EXPECT_EQ(environment_variable("GOSSIP_TEST_VARIABLE"), "some text");
  unsetenv("GOSSIP_TEST_VARIABLE");
  EXPECT_EQ(environment_variable("GOSSIP_TEST_VARIABLE"), std::nullopt);
}

TEST(Variables, AreNumbersWhenAllOfTheirTextIs) {
  const auto number = [](const std::optional<std::string>& text) {
    return number_in([&](const std::string&) { return text; }, "NAME");
  };
  EXPECT_EQ(number("12"), 12);
  EXPECT_EQ(number("-1"), -1);
  for (const char* text : {"", "many", "1x", " 1", "99999999999"}) {
    EXPECT_EQ(number(text), std::nullopt) << text;
  }
  EXPECT_EQ(number(std::nullopt), std::nullopt);
}

}  // namespace
}  // namespace gossip
