// SPDX-License-Identifier: Apache-2.0
// What every channel made for latest() has to do, whatever its ranks are. See on_ranks.h.
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "transport/channel_test_support.h"
#include "transport/on_ranks.h"

namespace gossip::transport {
namespace {

using namespace std::chrono_literals;
using test::on_ranks;

class LatestTest : public testing::TestWithParam<int> {};

TEST_P(LatestTest, LatestGivesTheNewestAndDropsTheOthersUnread) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kBytes = 1001;
    for (const int slots : {2, 3, 14}) {
      const auto channel = group.make_channel(
          {.capacity_bytes = kBytes, .slots = slots, .reading = Reading::kLatest, .timeout = 10s});
      for (const Rank from : latest_senders(group)) EXPECT_FALSE(channel->latest(from)) << from;
      group.barrier();

      for (int round = 0; round < 20; ++round) send(group, *channel, {}, round, kBytes);
      group.barrier();

      for (const Rank from : latest_senders(group)) {
        for (int look = 0; look < 3; ++look) {  // the same one again, as there is no newer
          const std::optional<Message> message =
              look == 0 ? latest_of(*channel, from, 19) : channel->latest(from);
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
    const bool is_reader = group.rank() != 0 || is_one_host(group);
    if (group.rank() == 0) send(group, *channel, {}, 0, kBytes);
    std::optional<Message> held;
    if (is_reader) held = latest_of(*channel, 0, 0);
    group.barrier();

    // With a third slot the sender goes on for ever, whoever holds an old one.
    if (group.rank() == 0) {
      for (int round = 1; round < 50; ++round) send(group, *channel, {}, round, kBytes);
    }
    group.barrier();

    EXPECT_EQ(held.has_value(), is_reader);
    if (held) {
      EXPECT_EQ(held->header().round, 0);
      EXPECT_TRUE(is_whole(*held, kBytes));
    }
    held.reset();
    if (is_reader) held = latest_of(*channel, 0, 49);
    EXPECT_EQ(held.has_value(), is_reader);
    if (held) {
      EXPECT_TRUE(is_whole(*held, kBytes));
    }
    held.reset();
    group.barrier();
  });
}

TEST_P(LatestTest, HeadersAloneAndPayloadsOfAllLengthsFollowEachOther) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kBytes = 300;
    const auto channel = group.make_channel(
        {.capacity_bytes = kBytes, .slots = 3, .reading = Reading::kLatest, .timeout = kLong});
    int wrong = 0;
    int last = 0;

    for (const std::size_t bytes : {kBytes, std::size_t{0}, std::size_t{1}, kBytes, std::size_t{0},
                                    std::size_t{0}, std::size_t{64}}) {
      // Several at once, of changing lengths: whichever of them arrive, the last one does.
      for (int k = 0; k < 3; ++k) send(group, *channel, {}, ++last, (bytes + 100) % (kBytes + 1));
      send(group, *channel, {}, ++last, bytes);
      for (const Rank from : latest_senders(group)) {
        const std::optional<Message> message = latest_of(*channel, from, last);
        wrong += !message || !is_whole(*message, bytes) ||
                         message->header().sequence != static_cast<std::uint64_t>(last)
                     ? 1
                     : 0;
      }
      group.barrier();
    }

    EXPECT_EQ(wrong, 0);
  });
}

TEST_P(LatestTest, AllThatACallerSaysInAHeaderArrivesAndPayloadsAreAligned) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kBytes = 24;
    const auto channel = group.make_channel(
        {.capacity_bytes = kBytes, .slots = 3, .reading = Reading::kLatest, .timeout = kLong});
    std::int64_t round = 0;

    for (const std::size_t bytes : {kBytes, std::size_t{0}, kBytes}) {
      fill(channel->acquire({}), group.rank(), ++round, bytes);
      channel->commit(full_header(group.rank(), round, bytes));
      for (const Rank from : latest_senders(group)) {
        const std::optional<Message> message = latest_of(*channel, from, round);
        EXPECT_TRUE(message.has_value()) << from;
        if (!message) continue;
        EXPECT_TRUE(has_full_header(*message, round, bytes)) << round;
        EXPECT_TRUE(is_whole(*message, bytes)) << round;
        EXPECT_EQ(message->header().sequence, static_cast<std::uint64_t>(round));
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(message->payload().data()) % 64, 0U);
      }
      group.barrier();
    }
  });
}

TEST_P(LatestTest, ReadingTheNewestDoesNotHoldTheSenderUp) {
  on_ranks(GetParam(), [](Group& group) {
    const auto channel = group.make_channel(
        {.capacity_bytes = 8, .slots = 2, .reading = Reading::kLatest, .timeout = kLong});
    send(group, *channel, {}, 0, 8);
    for (const Rank from : latest_senders(group)) EXPECT_TRUE(latest_of(*channel, from, 0));
    group.barrier();
    for (int round = 1; round < 50; ++round) {
      for (const Rank from : latest_senders(group)) {
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
