// SPDX-License-Identifier: Apache-2.0
// What every channel made for latest() has to do, whatever its ranks are. See on_ranks.h.
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transport/channel_test_support.h"
#include "transport/on_ranks.h"

namespace gossip::transport {
namespace {

using namespace std::chrono_literals;
using test::on_ranks;
using testing::HasSubstr;

class LatestTest : public testing::TestWithParam<int> {};

TEST_P(LatestTest, LatestGivesTheNewestAndDropsTheOthersUnread) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kBytes = 1001;
    for (const int slots : {2, 3, 14}) {
      const auto channel = group.make_channel(
          {.capacity_bytes = kBytes, .slots = slots, .reading = Reading::kLatest, .timeout = 10s});
      for (const Rank from : all_ranks(group)) EXPECT_FALSE(channel->latest(from)) << from;
      group.barrier();

      for (int round = 0; round < 20; ++round) send(group, *channel, {}, round, kBytes);
      group.barrier();

      for (const Rank from : all_ranks(group)) {
        for (int look = 0; look < 3; ++look) {  // the same one again, as there is no newer
          const std::optional<Message> message = channel->latest(from);
          EXPECT_TRUE(message.has_value());
          if (!message) continue;
          EXPECT_EQ(message->from(), from);
          EXPECT_EQ(message->header().round, 19);
          EXPECT_EQ(message->header().sequence, 20U);
          EXPECT_TRUE(is_whole(*message, kBytes));
        }
      }
      group.barrier();
    }
  });
}

TEST_P(LatestTest, ALatestMessageStaysWholeWhileItIsHeld) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kBytes = 500;
    const auto channel = group.make_channel(
        {.capacity_bytes = kBytes, .slots = 3, .reading = Reading::kLatest, .timeout = kLong});
    if (group.rank() == 0) send(group, *channel, {}, 0, kBytes);
    group.barrier();
    std::optional<Message> held = channel->latest(0);
    group.barrier();

    // With a third slot the sender goes on for ever, whoever holds an old one.
    if (group.rank() == 0) {
      for (int round = 1; round < 50; ++round) send(group, *channel, {}, round, kBytes);
    }
    group.barrier();

    EXPECT_TRUE(held.has_value());
    if (held) {
      EXPECT_EQ(held->header().round, 0);
      EXPECT_TRUE(is_whole(*held, kBytes));
    }
    held.reset();
    held = channel->latest(0);
    EXPECT_TRUE(held.has_value());
    if (held) {
      EXPECT_EQ(held->header().round, 49);
      EXPECT_TRUE(is_whole(*held, kBytes));
    }
    held.reset();
    group.barrier();
  });
}

TEST_P(LatestTest, WithTwoSlotsTheHolderOfAnOldMessageIsWaitedForByName) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank last = group.size() - 1;
    const auto channel = group.make_channel(
        {.capacity_bytes = 8, .slots = 2, .reading = Reading::kLatest, .timeout = 50ms});
    if (group.rank() == 0) send(group, *channel, {}, 0, 8);
    group.barrier();
    std::optional<Message> held;
    if (group.rank() == last) held = channel->latest(0);
    group.barrier();

    if (group.rank() == 0) {
      send(group, *channel, {}, 1, 8);
      const auto [error, seconds] = timed([&] { send(group, *channel, {}, 2, 8); });
      EXPECT_TRUE(error.has_value());
      if (error) {
        EXPECT_EQ(error->peer(), last);
      }
      EXPECT_GE(seconds, 0.05);
    }
    group.barrier();
    if (held) {
      EXPECT_TRUE(is_whole(*held, 8));
    }
    held.reset();
    group.barrier();
    if (group.rank() == 0) send(group, *channel, {}, 2, 8);
    group.barrier();
    held = channel->latest(0);
    if (held) {
      EXPECT_EQ(held->header().round, 2);
    }
    EXPECT_TRUE(held.has_value());
    held.reset();
    group.barrier();
  });
}

TEST_P(LatestTest, ReadingTheNewestDoesNotHoldTheSenderUp) {
  on_ranks(GetParam(), [](Group& group) {
    const auto channel = group.make_channel(
        {.capacity_bytes = 8, .slots = 2, .reading = Reading::kLatest, .timeout = kLong});
    send(group, *channel, {}, 0, 8);
    group.barrier();
    for (int round = 1; round < 50; ++round) {
      for (const Rank from : all_ranks(group)) {
        const std::optional<Message> message = channel->latest(from);
        EXPECT_TRUE(message && is_whole(*message, 8));
      }
      send(group, *channel, {}, round, 8);
    }
    group.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, LatestTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::transport
