// SPDX-License-Identifier: Apache-2.0
// What next_any() has to do on every channel, whatever its ranks are. See on_ranks.h.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/transport/group.h>

#include "transport/channel_test_support.h"
#include "transport/on_ranks.h"

namespace gossip::transport {
namespace {

using namespace std::chrono_literals;
using test::on_ranks;

class AnyTest : public testing::TestWithParam<int> {};

/// One that must come.
Message any_of(Channel& channel, const std::vector<Rank>& ranks) {
  std::optional<Message> message = channel.next_any(ranks, Deadline(kLong));
  if (!message) throw channel.lateness_of(ranks.front());
  return std::move(*message);
}

TEST_P(AnyTest, ARoundGetsEachMessageOnceAndKeepsThemAll) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kBytes = 1001;
    const auto channel = group.make_channel(
        {.capacity_bytes = kBytes, .slots = 2, .timeout = kLong, .receive_slots = group.size()});
    int wrong = 0;

    for (std::int64_t round = 0; round < 100; ++round) {
      send(group, *channel, all_ranks(group), round, kBytes);
      std::vector<Message> messages;
      for (std::vector<Rank> late = all_ranks(group); !late.empty();) {
        messages.push_back(any_of(*channel, late));
        wrong += std::erase(late, messages.back().from()) != 1 ? 1 : 0;
      }
      for (const Message& message : messages) {
        wrong += message.header().round != round ||
                         message.header().sequence != static_cast<std::uint64_t>(round + 1) ||
                         !is_whole(message, kBytes)
                     ? 1
                     : 0;
      }
    }

    EXPECT_EQ(wrong, 0);
    EXPECT_FALSE(channel->next_any(all_ranks(group), Deadline(0ms)));
    group.barrier();
  });
}

TEST_P(AnyTest, ManyMessagesOfEachSenderComeInItsOrder) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::uint64_t kMessages = 200;
    constexpr std::size_t kBytes = 77;
    if (group.size() == 1) return;  // nobody else who could send
    const auto channel = group.make_channel({.capacity_bytes = kBytes,
                                             .slots = 3,
                                             .timeout = kLong,
                                             .receive_slots = 2 * group.size(),
                                             .has_rounds = false});

    if (group.rank() > 0) {
      for (std::uint64_t k = 1; k <= kMessages; ++k) {
        send(group, *channel, {0}, static_cast<std::int64_t>(k), kBytes);
      }
    } else {
      std::vector<Rank> senders = all_ranks(group);
      std::erase(senders, 0);
      std::vector<std::uint64_t> received(static_cast<std::size_t>(group.size()), 0);
      int wrong = 0;
      while (!senders.empty()) {
        const Message message = any_of(*channel, senders);
        const std::uint64_t sequence = ++received[static_cast<std::size_t>(message.from())];
        wrong += message.header().sequence != sequence ||
                         std::cmp_not_equal(message.header().round, sequence) ||
                         !is_whole(message, kBytes)
                     ? 1
                     : 0;
        if (sequence == kMessages) std::erase(senders, message.from());
      }
      EXPECT_EQ(wrong, 0);
    }
    group.barrier();
    if (group.rank() == 0) {
      EXPECT_FALSE(channel->next_any(all_ranks(group), Deadline(0ms)));
    }
    group.barrier();
  });
}

TEST_P(AnyTest, TheFirstToComeIsTheFirstToBeGiven) {
  on_ranks(GetParam(), [](Group& group) {
    const auto channel =
        group.make_channel({.capacity_bytes = 8, .timeout = kLong, .receive_slots = group.size()});
    std::vector<Rank> late = all_ranks(group);
    std::vector<Message> messages;

    for (Rank sender = group.size() - 1; sender >= 0; --sender) {
      if (group.rank() == 0) {
        EXPECT_FALSE(channel->next_any(late, Deadline(0ms))) << sender;
      }
      group.barrier();
      if (group.rank() == sender) send(group, *channel, {0}, 5, 8);
      if (group.rank() == 0) {
        messages.push_back(any_of(*channel, late));
        EXPECT_EQ(messages.back().from(), sender);
        std::erase(late, sender);
      }
      group.barrier();
    }

    for (const Message& message : messages) EXPECT_TRUE(is_whole(message, 8)) << message.from();
    group.barrier();
  });
}

/// It is the first in order, and never waits for the receiver.
TEST_P(AnyTest, AFloodOfOneSenderKeepsNoOtherBack) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr Rank kFlooding = 1;
    if (group.size() < 3) return;  // nobody whom it could keep back
    const auto channel = group.make_channel({.capacity_bytes = 8,
                                             .slots = 8,
                                             .timeout = kLong,
                                             .receive_slots = 4 * group.size(),
                                             .has_rounds = false});
    std::int64_t sent = 0;
    std::int64_t received = 0;  // of the flood
    const Deadline deadline(kLong);

    if (group.rank() == 0) {
      std::vector<Rank> ranks = all_ranks(group);
      std::erase(ranks, 0);
      std::vector<Rank> late = ranks;
      while (!late.empty() && !deadline.has_passed()) {
        const Rank from = any_of(*channel, ranks).from();
        received += from == kFlooding ? 1 : 0;
        std::erase(late, from);
      }
      EXPECT_EQ(late, std::vector<Rank>{}) << "they never had their turn";
      send(group, *channel, {kFlooding}, 0, 8);
    } else if (group.rank() == kFlooding) {
      while (!channel->try_next(0) && !deadline.has_passed()) {
        Rank blocking = -1;
        const auto slot = channel->try_acquire(std::vector{0}, blocking);
        if (!slot) {
          std::this_thread::yield();
          continue;
        }
        fill(*slot, group.rank(), ++sent, 8);
        channel->commit({.round = sent, .bytes = 8});
      }
    } else {
      send(group, *channel, {0}, 0, 8);
    }

    const std::vector<std::int64_t> flood = group.all_gather(sent);
    if (group.rank() == 0) {
      for (; received < flood[kFlooding]; ++received) {
        EXPECT_EQ(any_of(*channel, {kFlooding}).header().round, received + 1);
      }
    }
    group.barrier();
  });
}

TEST_P(AnyTest, GivesNothingWhenTheDeadlinePassesAndCarriesOn) {
  on_ranks(GetParam(), [](Group& group) {
    const auto channel =
        group.make_channel({.capacity_bytes = 8, .timeout = kLong, .receive_slots = group.size()});
    std::vector<Rank> late = all_ranks(group);
    const Deadline far(kLong);
    const Deadline soon(60ms);

    EXPECT_FALSE(channel->next_any(late, soon));
    EXPECT_TRUE(soon.has_passed());
    EXPECT_FALSE(channel->next_any(late, far, 20ms));
    EXPECT_GE(far.elapsed_seconds(), 0.08);
    EXPECT_FALSE(far.has_passed());
    group.barrier();

    send(group, *channel, all_ranks(group), 3, 8);
    while (!late.empty()) {
      const Message message = any_of(*channel, late);
      EXPECT_EQ(message.header().sequence, 1U);
      EXPECT_TRUE(is_whole(message, 8));
      std::erase(late, message.from());
    }
    group.barrier();
  });
}

TEST_P(AnyTest, AWaitThatThrowsLosesNoMessage) {
  on_ranks(GetParam(), [](Group& group) {
    bool is_over = true;
    const auto channel = group.make_channel({.capacity_bytes = 8,
                                             .timeout = kLong,
                                             .while_waiting =
                                                 [&] {
                                                   if (is_over) throw Error("This wait is over.");
                                                 },
                                             .receive_slots = group.size()});
    std::vector<Rank> late = all_ranks(group);

    EXPECT_THROW(std::ignore = channel->next_any(late, Deadline(kLong)), Error);
    is_over = false;
    group.barrier();

    send(group, *channel, all_ranks(group), 4, 8);
    while (!late.empty()) {
      const Message message = any_of(*channel, late);
      EXPECT_EQ(message.header().sequence, 1U);
      EXPECT_TRUE(is_whole(message, 8));
      std::erase(late, message.from());
    }
    group.barrier();
    EXPECT_FALSE(channel->next_any(all_ranks(group), Deadline(0ms)));
    group.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, AnyTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::transport
