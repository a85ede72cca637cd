// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/narrow.h>

namespace gossip {
namespace {

TEST(Narrow, KeepsWhatFits) {
  EXPECT_EQ(narrow<std::uint8_t>(255), 255);
  EXPECT_EQ(narrow<std::int8_t>(-128L), -128);
  EXPECT_EQ(narrow<std::uint64_t>(7), 7U);
  EXPECT_EQ(narrow_count(std::size_t{2147483647}), 2147483647);
}

TEST(Narrow, RefusesTheFirstValuesThatDoNotFit) {
  EXPECT_THROW(std::ignore = narrow<std::uint8_t>(256), Error);
  EXPECT_THROW(std::ignore = narrow<std::int8_t>(-129), Error);
  EXPECT_THROW(std::ignore = narrow<std::uint64_t>(-1), Error);
  EXPECT_THROW(std::ignore = narrow<std::int64_t>(std::numeric_limits<std::uint64_t>::max()),
               Error);
}

TEST(Narrow, NamesTheValue) {
  const std::size_t bytes = std::size_t{1} << 31U;

  EXPECT_THAT([&] { std::ignore = narrow_count(bytes); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("2147483648")));
}

}  // namespace
}  // namespace gossip
