// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/base/variables.h>

namespace gossip {
namespace {

TEST(Variables, AreThoseOfTheProcess) {
  setenv("GOSSIP_TEST_VARIABLE", "some text", 1);
  EXPECT_EQ(environment_variable("GOSSIP_TEST_VARIABLE"), "some text");
  unsetenv("GOSSIP_TEST_VARIABLE");
  EXPECT_EQ(environment_variable("GOSSIP_TEST_VARIABLE"), std::nullopt);
}

TEST(Variables, AreThoseOfTheStartWhateverWasSetSince) {
  const auto path = environment_variable("PATH");
  ASSERT_TRUE(path);
  setenv("PATH", "/elsewhere", 1);
  setenv("GOSSIP_TEST_VARIABLE", "some text", 1);
  EXPECT_EQ(initial_variable("PATH"), path);
  EXPECT_EQ(initial_variable("GOSSIP_TEST_VARIABLE"), std::nullopt);
  setenv("PATH", path->c_str(), 1);
  unsetenv("GOSSIP_TEST_VARIABLE");
}

TEST(Variables, AreNumbersOrRefused) {
  const auto number = [](const std::optional<std::string>& text) {
    return number_in([&](const std::string&) { return text; }, "NAME");
  };
  EXPECT_EQ(number("12"), 12);
  EXPECT_EQ(number("0"), 0);
  EXPECT_EQ(number(""), std::nullopt);
  EXPECT_EQ(number(std::nullopt), std::nullopt);
  for (const char* text : {"many", "1x", " 1", "-1", "99999999999"}) {
    EXPECT_THAT(
        [&] { static_cast<void>(number(text)); },
        testing::ThrowsMessage<Error>(std::string("The environment variable NAME is '") + text +
                                      "': it must be a whole number between 0 and 2147483647."));
  }
}

}  // namespace
}  // namespace gossip
