// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/numbers.h>

namespace gossip {
namespace {

TEST(Numbers, AreParsedToTheirTypesEnds) {
  EXPECT_EQ(parse_number<int>("-2147483648"), std::numeric_limits<int>::min());
  EXPECT_EQ(parse_number<int>("2147483647"), std::numeric_limits<int>::max());
  EXPECT_EQ(parse_number<std::uint64_t>("18446744073709551615"),
            std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(parse_number<int>("+07"), 7);
  EXPECT_EQ(parse_number<double>("1e-3"), 1e-3);
  EXPECT_EQ(parse_number<double>("-0.5"), -0.5);
}

TEST(Numbers, AreNothingWhereAnyPartOfTheTextIsMore) {
  for (const char* text : {"", " ", " 1", "1 ", "1x", "x1", "0x1", "1_000", "1.5", "+", "-", "+-1",
                           "++1", "2147483648", "-2147483649"}) {
    EXPECT_EQ(parse_number<int>(text), std::nullopt) << text;
  }
  for (const char* text : {"-1", "18446744073709551616", "1e3"}) {
    EXPECT_EQ(parse_number<std::uint64_t>(text), std::nullopt) << text;
  }
  for (const char* text : {"nan", "inf", "-inf", "1e400", "1e-400", "1,5", "0.1.2"}) {
    EXPECT_EQ(parse_number<double>(text), std::nullopt) << text;
  }
}

TEST(Numbers, OutOfTheirRangeAreRefusedWithIt) {
  EXPECT_EQ(number_within<int>("--keep", "3", 1, 9), 3);
  for (const char* text : {"0", "10", "99999999999999999999", "3x"}) {
    EXPECT_THAT([&] { static_cast<void>(number_within<int>("--keep", text, 1, 9)); },
                testing::ThrowsMessage<Error>(std::string("--keep is '") + text +
                                              "': it must be a whole number between 1 and 9."));
  }
  EXPECT_THAT([] { static_cast<void>(number_within<double>("--lr", "1e400", 0.0, 2.5)); },
              testing::ThrowsMessage<Error>("--lr is '1e400': it must be a number between 0 and "
                                            "2.5."));
}

}  // namespace
}  // namespace gossip
