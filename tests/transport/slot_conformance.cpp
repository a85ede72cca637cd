// SPDX-License-Identifier: Apache-2.0
// What the channels between ranks that share memory have to do besides: a message keeps its slot at
// the sender until it was read. See on_ranks.h.
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/transport/group.h>

#include "transport/channel_test_support.h"
#include "transport/on_ranks.h"

namespace gossip::transport {
namespace {

using namespace std::chrono_literals;
using test::on_ranks;

class SlotTest : public testing::TestWithParam<int> {};

TEST_P(SlotTest, ASlotIsFreeWhenItsLastReceiverHasReleasedIt) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kBytes = 333;
    const auto channel =
        group.make_channel({.capacity_bytes = kBytes, .slots = 1, .timeout = kLong});
    const std::vector<Rank> to = all_ranks(group);
    if (group.rank() == 0) send(group, *channel, to, 5, kBytes);
    std::optional<Message> message = channel->next(0);
    EXPECT_TRUE(is_whole(*message, kBytes));
    group.barrier();

    for (const Rank leaving : to) {
      if (group.rank() == 0) {
        Rank blocking = -1;
        EXPECT_FALSE(channel->try_acquire(to, blocking));
        EXPECT_EQ(blocking, leaving) << "the first that has not released it";
      }
      group.barrier();
      if (group.rank() == leaving) {
        EXPECT_TRUE(is_whole(*message, kBytes));
        message.reset();
      }
      group.barrier();
    }
    if (group.rank() == 0) {
      Rank blocking = -1;
      EXPECT_TRUE(channel->try_acquire(to, blocking));
    }
    group.barrier();
  });
}

TEST_P(SlotTest, CarriesOnAfterATimeout) {
  on_ranks(GetParam(), [](Group& group) {
    const auto channel = group.make_channel({.capacity_bytes = 8, .slots = 1, .timeout = 20ms});
    const Rank left = (group.rank() + group.size() - 1) % group.size();
    const Rank right = (group.rank() + 1) % group.size();

    EXPECT_THROW(std::ignore = channel->next(left), TimeoutError);
    group.barrier();
    send(group, *channel, {right}, 3, 8);
    EXPECT_THROW(send(group, *channel, {right}, 4, 8), TimeoutError);
    group.barrier();
    {
      const Message message = channel->next(left);
      EXPECT_EQ(message.header().round, 3);
      EXPECT_EQ(message.header().sequence, 1U);
      EXPECT_TRUE(is_whole(message, 8));
    }
    group.barrier();
    send(group, *channel, {right}, 5, 8);
    group.barrier();
    EXPECT_EQ(channel->next(left).header().sequence, 2U);
    group.barrier();
  });
}

TEST_P(SlotTest, AMovedMessageIsReleasedOnce) {
  on_ranks(GetParam(), [](Group& group) {
    const std::vector<Rank> to = all_ranks(group);
    const auto channel = group.make_channel({.capacity_bytes = 8, .slots = 1, .timeout = kLong});
    const auto is_free = [&] {
      Rank blocking = -1;
      return group.rank() != 0 || channel->try_acquire(to, blocking).has_value();
    };
    if (group.rank() == 0) send(group, *channel, to, 1, 8);
    {
      Message first = channel->next(0);
      Message second = std::move(first);
      group.barrier();
      EXPECT_FALSE(group.rank() == 0 && is_free());
      EXPECT_TRUE(is_whole(second, 8));
      group.barrier();
    }
    group.barrier();
    EXPECT_TRUE(is_free());
    if (group.rank() == 0) channel->commit({.round = 2});
    {
      const auto other = group.make_channel({.capacity_bytes = 8, .slots = 1, .timeout = kLong});
      if (group.rank() == 0) send(group, *other, to, 3, 8);
      Message message = channel->next(0);
      message = other->next(0);  // gives the first one back
      group.barrier();
      EXPECT_TRUE(is_free());
      EXPECT_EQ(message.header().round, 3);
      EXPECT_TRUE(is_whole(message, 8));
      message = std::move(*&message);
      EXPECT_TRUE(is_whole(message, 8));
      if (group.rank() == 0) {
        Rank blocking = -1;
        EXPECT_FALSE(other->try_acquire(to, blocking)) << "a self-move has released the message";
      }
      group.barrier();
    }
    group.barrier();
  });
}

TEST_P(SlotTest, WithTwoSlotsTheHolderOfAnOldMessageIsWaitedForByName) {
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

INSTANTIATE_TEST_SUITE_P(Ranks, SlotTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::transport
