// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <bit>
#include <cstdint>

#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/transport/header.h>

#include "support/expect_throw.h"

namespace gossip::transport {
namespace {

using Bytes = std::array<std::uint8_t, 128>;

TEST(Header, HasEachFieldWhereOtherVersionsLookForIt) {
  const Header header{.kind = MessageKind::kPull,
                      .channel = 0x11121314,
                      .generation = 0x21222324,
                      .sequence = 0x3132333435363738,
                      .round = -2,
                      .weight = 1.5,
                      .bytes = 0x4142434445464748,
                      .log_rate = -2.0,
                      .uses = 0x5152535455565758,
                      .accepted = 0x6162636465666768,
                      .step = 0x7172737475767778,
                      .beat = 0x8182838485868788,
                      .epoch = 0x91929394,
                      .incarnation = 0xA1A2A3A4,
                      .in_step_ms = 0xB1B2B3B4,
                      .active_count = 0xC1C2C3C4,
                      .degree = 0xD1D2,
                      .live_degree = 0xE1E2,
                      .level = 0xF1,
                      .state = 0xF2,
                      .checksum_kind = 0xF3,
                      .payload_sum = 0x0102030405060708,
                      .header_sum = 0x090A0B0C};

  // clang-format off
  const Bytes expected = {
      'G', 'S', 'P', '1', 1, 0, 4, 0,                              // magic, version, kind
      0x14, 0x13, 0x12, 0x11, 0x24, 0x23, 0x22, 0x21,              // channel, generation
      0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31,              // sequence
      0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,              // round
      0, 0, 0, 0, 0, 0, 0xF8, 0x3F,                                // weight
      0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41,              // bytes
      0, 0, 0, 0, 0, 0, 0, 0xC0,                                   // log_rate
      0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51,              // uses
      0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61,              // accepted
      0x78, 0x77, 0x76, 0x75, 0x74, 0x73, 0x72, 0x71,              // step
      0x88, 0x87, 0x86, 0x85, 0x84, 0x83, 0x82, 0x81,              // beat
      0x94, 0x93, 0x92, 0x91, 0xA4, 0xA3, 0xA2, 0xA1,              // epoch, incarnation
      0xB4, 0xB3, 0xB2, 0xB1, 0xC4, 0xC3, 0xC2, 0xC1,              // in_step_ms, active_count
      0xD2, 0xD1, 0xE2, 0xE1, 0xF1, 0xF2, 0xF3, 0,                 // degrees, level, state, kind, 0
      0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,              // payload_sum
      0x0C, 0x0B, 0x0A, 0x09, 0, 0, 0, 0};                         // header_sum, padding
  // clang-format on
  EXPECT_EQ(std::bit_cast<Bytes>(header), expected);
}

TEST(Header, IsZeroWhereNothingWasSet) {
  const Bytes expected = {'G', 'S', 'P', '1', 1};
  const Bytes bytes = std::bit_cast<Bytes>(Header{.weight = 0.0});

  EXPECT_EQ(bytes, expected);
  EXPECT_EQ(Header().weight, 1.0);
}

TEST(Header, NumbersItsKindsForGood) {
  EXPECT_EQ(static_cast<int>(MessageKind::kData), 0);
  EXPECT_EQ(static_cast<int>(MessageKind::kSkip), 1);
  EXPECT_EQ(static_cast<int>(MessageKind::kLeave), 2);
  EXPECT_EQ(static_cast<int>(MessageKind::kHello), 3);
  EXPECT_EQ(static_cast<int>(MessageKind::kPull), 4);
}

TEST(Header, OfAnotherLayoutIsRefusedWithItsSender) {
  EXPECT_NO_THROW(check_header({}, 3));
  test::expect_throw<Error>([] { check_header({.version = 2}, 3); },
                            {"Rank 3 ", "version 2,", "reads version 1", "same version"});
  test::expect_throw<Error>([] { check_header({.magic = 0x31505348, .version = 9}, 12); },
                            {"Rank 12 ", "0x31505348", "0x31505347", "GSP1"});
  test::expect_throw<Error>([] { check_header({.magic = 0}, 0); }, {"begins with 0x00000000"});
}

}  // namespace
}  // namespace gossip::transport
