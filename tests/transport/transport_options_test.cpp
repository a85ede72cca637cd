// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/transport/transport_options.h>

namespace gossip::transport {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class TransportOptionsTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"GOSSIP_TRANSPORT", "GOSSIP_PIECE_BYTES", "GOSSIP_RANKS_PER_MEMORY",
                             "GOSSIP_CHECK_COLLECTIVE"}) {
      unsetenv(name);
    }
  }
  void TearDown() override { SetUp(); }

  static std::string refusal(const char* name, const char* value) {
    setenv(name, value, 1);
    std::string message;
    try {
      std::ignore = transport_options_from_environment();
    } catch (const Error& error) {
      message = error.what();
    }
    unsetenv(name);
    return message;
  }
};

TEST_F(TransportOptionsTest, AreTheDefaultsWithoutVariables) {
  const TransportOptions options = transport_options_from_environment();

  EXPECT_EQ(options.kind, TransportKind::kAuto);
  EXPECT_EQ(options.piece_bytes, std::size_t{1} << 19U);
  EXPECT_EQ(options.ranks_per_memory, 0);
  EXPECT_FALSE(options.checks_means);
}

TEST_F(TransportOptionsTest, ComeFromTheEnvironment) {
  setenv("GOSSIP_TRANSPORT", "rma", 1);
  setenv("GOSSIP_PIECE_BYTES", "65536", 1);
  setenv("GOSSIP_RANKS_PER_MEMORY", "2", 1);
  setenv("GOSSIP_CHECK_COLLECTIVE", "1", 1);

  const TransportOptions options = transport_options_from_environment();

  EXPECT_EQ(options.kind, TransportKind::kRma);
  EXPECT_EQ(options.piece_bytes, 65536U);
  EXPECT_EQ(options.ranks_per_memory, 2);
  EXPECT_TRUE(options.checks_means);
  EXPECT_EQ(describe(options),
            "transport rma, pieces of 65536 bytes, 2 ranks a memory, checked means");
}

TEST_F(TransportOptionsTest, EmptyVariablesCountAsNone) {
  setenv("GOSSIP_TRANSPORT", "", 1);
  setenv("GOSSIP_PIECE_BYTES", "", 1);

  EXPECT_EQ(describe(transport_options_from_environment()), describe({}));
}

TEST_F(TransportOptionsTest, ValuesThatMakeNoSenseAreRefusedByName) {
  EXPECT_THAT(refusal("GOSSIP_TRANSPORT", "mesage"),
              AllOf(HasSubstr("GOSSIP_TRANSPORT"), HasSubstr("mesage"), HasSubstr("message")));
  for (const char* value : {"0", "-1", "1M", " 5", "x", "1073741825", "99999999999999999999"}) {
    EXPECT_THAT(refusal("GOSSIP_PIECE_BYTES", value),
                AllOf(HasSubstr("GOSSIP_PIECE_BYTES"), HasSubstr(value)));
  }
  for (const char* value : {"-1", "1.5", "two", "99999999999"}) {
    EXPECT_THAT(refusal("GOSSIP_RANKS_PER_MEMORY", value),
                AllOf(HasSubstr("GOSSIP_RANKS_PER_MEMORY"), HasSubstr(value)));
  }
}

TEST_F(TransportOptionsTest, KindsHaveNames) {
  EXPECT_EQ(transport_names().size(), 4U);
  for (const std::string_view name : transport_names()) {
    EXPECT_EQ(name_of(transport_kind(name)), name);
  }
  EXPECT_THROW(std::ignore = transport_kind("tcp"), Error);
}

}  // namespace
}  // namespace gossip::transport
