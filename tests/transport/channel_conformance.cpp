// SPDX-License-Identifier: Apache-2.0
// What every channel made for next() has to do, whatever its ranks are. See on_ranks.h.
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/transport/group.h>

#include "transport/channel_test_support.h"
#include "transport/on_ranks.h"

namespace gossip::transport {
namespace {

using namespace std::chrono_literals;
using test::on_ranks;
using testing::AllOf;
using testing::HasSubstr;

class ChannelTest : public testing::TestWithParam<int> {};

TEST_P(ChannelTest, NextGivesEveryMessageOnceAndInOrder) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kBytes = 1001;
    const auto channel = group.make_channel(
        {.capacity_bytes = kBytes, .slots = 2, .timeout = kLong, .receive_slots = group.size()});
    int wrong = 0;

    for (std::int64_t round = 0; round < 100; ++round) {
      send(group, *channel, all_ranks(group), round, kBytes);
      for (const Rank from : all_ranks(group)) {
        const Message message = channel->next(from);
        wrong += message.from() != from || message.header().round != round ||
                         message.header().sequence != static_cast<std::uint64_t>(round + 1) ||
                         !is_whole(message, kBytes)
                     ? 1
                     : 0;
      }
    }

    EXPECT_EQ(wrong, 0);
    for (const Rank from : all_ranks(group)) EXPECT_FALSE(channel->try_next(from)) << from;
    group.barrier();
  });
}

TEST_P(ChannelTest, ReceiversThatChangeGetWhatIsTheirs) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kBytes = 77;
    const auto channel = group.make_channel(
        {.capacity_bytes = kBytes, .slots = 3, .timeout = kLong, .receive_slots = group.size()});
    // A pure function of sender, receiver and round, about every second edge.
    const auto is_sent = [](Rank from, Rank to, std::int64_t round) {
      return SplitMix64::at(static_cast<std::uint64_t>(from * 16 + to),
                            static_cast<std::uint64_t>(round))
                 .below(2) == 0;
    };
    std::vector<std::uint64_t> received(static_cast<std::size_t>(group.size()), 0);
    int wrong = 0;

    for (std::int64_t round = 0; round < 300; ++round) {
      std::vector<Rank> to;
      for (const Rank rank : all_ranks(group)) {
        if (is_sent(group.rank(), rank, round)) to.push_back(rank);
      }
      send(group, *channel, to, round, kBytes);
      for (const Rank from : all_ranks(group)) {
        if (!is_sent(from, group.rank(), round)) continue;
        const Message message = channel->next(from);
        const std::uint64_t sequence = ++received[static_cast<std::size_t>(from)];
        wrong += message.header().round != round || message.header().sequence != sequence ||
                         !is_whole(message, kBytes)
                     ? 1
                     : 0;
      }
    }

    EXPECT_EQ(wrong, 0);
    group.barrier();
  });
}

TEST_P(ChannelTest, ASenderHasAsManyCreditsAsSlots) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank last = group.size() - 1;
    for (const int slots : {1, 2, 5, 14}) {
      const auto channel =
          group.make_channel({.capacity_bytes = 65, .slots = slots, .timeout = kLong});
      if (group.rank() == 0) {
        for (int k = 0; k < slots; ++k) send(group, *channel, {last}, k, 65);
        Rank blocking = -1;
        EXPECT_FALSE(channel->try_acquire(std::vector{last}, blocking));
        EXPECT_EQ(blocking, last);
      }
      group.barrier();
      if (group.rank() == last) {
        // All of them are still whole: no slot reaches into another.
        for (int k = 0; k < slots; ++k) {
          const Message message = channel->next(0);
          EXPECT_EQ(message.header().round, k);
          EXPECT_TRUE(is_whole(message, 65));
        }
      }
      group.barrier();
      if (group.rank() == 0) send(group, *channel, {last}, slots, 65);
      group.barrier();
      if (group.rank() == last) {
        EXPECT_EQ(channel->next(0).header().round, slots);
      }
      group.barrier();
    }
  });
}

TEST_P(ChannelTest, AcquireWaitsForTheSlowestReceiver) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr int kMessages = 20;
    const Rank last = group.size() - 1;
    if (group.size() == 1) return;  // nobody else who could release
    const auto channel = group.make_channel({.capacity_bytes = 8, .slots = 2, .timeout = kLong});

    if (group.rank() == 0) {
      for (int k = 0; k < kMessages; ++k) send(group, *channel, {last}, k, 8);
    } else if (group.rank() == last) {
      for (int k = 0; k < kMessages; ++k) {
        std::this_thread::sleep_for(1ms);
        const Message message = channel->next(0);
        EXPECT_EQ(message.header().round, k);
        EXPECT_TRUE(is_whole(message, 8));
      }
    }
    group.barrier();
  });
}

TEST_P(ChannelTest, AcquireGivesUpAndNamesTheLateReceiver) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank last = group.size() - 1;
    const auto channel = group.make_channel({.capacity_bytes = 8, .slots = 1, .timeout = 60ms});

    if (group.rank() == 0) {
      send(group, *channel, {last}, 0, 8);
      const auto [error, seconds] = timed([&] { send(group, *channel, {last}, 1, 8); });
      EXPECT_TRUE(error.has_value());
      if (error) {
        EXPECT_EQ(error->peer(), last);
        EXPECT_THAT(error->what(), AllOf(HasSubstr("Rank " + std::to_string(last) + " did not"),
                                         HasSubstr("within 60 ms")));
      }
      EXPECT_GE(seconds, 0.06);
      EXPECT_LT(seconds, 20.0);
    }
    group.barrier();
  });
}

TEST_P(ChannelTest, NextGivesUpAndNamesTheSender) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank left = (group.rank() + group.size() - 1) % group.size();
    const auto channel = group.make_channel({.capacity_bytes = 8, .timeout = 60ms});

    EXPECT_FALSE(channel->try_next(left));
    const auto [error, seconds] = timed([&] { std::ignore = channel->next(left); });

    EXPECT_TRUE(error.has_value());
    if (error) {
      EXPECT_EQ(error->peer(), left);
      EXPECT_THAT(error->what(), AllOf(HasSubstr("Rank " + std::to_string(left) + " did not"),
                                       HasSubstr("within 60 ms")));
    }
    EXPECT_GE(seconds, 0.06);
    EXPECT_LT(seconds, 20.0);
    group.barrier();
  });
}

TEST_P(ChannelTest, HeadersArriveAsTheyWereSent) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank left = (group.rank() + group.size() - 1) % group.size();
    const std::vector<Rank> right = {(group.rank() + 1) % group.size()};
    for (const std::size_t capacity : {0U, 24U}) {
      const auto channel =
          group.make_channel({.capacity_bytes = capacity, .slots = 3, .timeout = kLong});
      EXPECT_EQ(channel->options().capacity_bytes, capacity);

      std::ignore = channel->acquire(right);
      channel->commit({.round = -3, .weight = 0.1 + group.rank()});
      std::ignore = channel->acquire(right);
      channel->commit({.kind = MessageKind::kSkip, .round = std::int64_t{1} << 40});
      std::ignore = channel->acquire(right);
      channel->commit({.kind = MessageKind::kLeave, .round = 9});

      {
        const Message data = channel->next(left);
        EXPECT_EQ(data.header().kind, MessageKind::kData);
        EXPECT_EQ(data.header().round, -3);
        EXPECT_EQ(data.header().weight, 0.1 + left);
        EXPECT_EQ(data.payload().size(), 0U);
      }
      {
        const Message skip = channel->next(left);
        EXPECT_EQ(skip.header().kind, MessageKind::kSkip);
        EXPECT_EQ(skip.header().round, std::int64_t{1} << 40);
        EXPECT_EQ(skip.header().sequence, 2U);
        EXPECT_EQ(skip.payload().size(), 0U);
      }
      {
        const Message leave = channel->next(left);
        EXPECT_EQ(leave.header().kind, MessageKind::kLeave);
        EXPECT_EQ(leave.header().sequence, 3U);
      }
      group.barrier();
    }
  });
}

TEST_P(ChannelTest, AllThatACallerSaysInAHeaderArrives) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank left = (group.rank() + group.size() - 1) % group.size();
    const std::vector<Rank> right = {(group.rank() + 1) % group.size()};
    for (const bool has_rounds : {true, false}) {
      const auto channel =
          group.make_channel({.capacity_bytes = 24, .timeout = kLong, .has_rounds = has_rounds});
      std::int64_t round = 0;
      for (const std::size_t bytes : {std::size_t{24}, std::size_t{0}, std::size_t{24}}) {
        fill(channel->acquire(right), group.rank(), ++round, bytes);
        channel->commit(full_header(group.rank(), round, bytes));

        const Message message = channel->next(left);
        EXPECT_TRUE(has_full_header(message, round, bytes)) << round;
        EXPECT_TRUE(is_whole(message, bytes)) << round;
        EXPECT_EQ(message.header().sequence, static_cast<std::uint64_t>(round));
      }
      group.barrier();
    }
  });
}

TEST_P(ChannelTest, PayloadsOfAllSizesAreAlignedAndWhole) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank left = (group.rank() + group.size() - 1) % group.size();
    const std::vector<Rank> right = {(group.rank() + 1) % group.size()};
    for (const std::size_t capacity : {0U, 1U, 7U, 63U, 64U, 65U, 4096U, 100003U}) {
      const auto channel =
          group.make_channel({.capacity_bytes = capacity, .slots = 2, .timeout = kLong});
      for (const std::size_t bytes :
           {std::size_t{0}, std::min<std::size_t>(1, capacity), capacity / 2, capacity}) {
        const std::span<std::byte> slot = channel->acquire(right);
        EXPECT_EQ(slot.size(), capacity);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(slot.data()) % 64, 0U);
        fill(slot, group.rank(), 1, bytes);
        channel->commit({.round = 1, .bytes = bytes});

        const Message message = channel->next(left);
        EXPECT_TRUE(is_whole(message, bytes)) << bytes << " of " << capacity;
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(message.payload().data()) % 64, 0U);
      }
      group.barrier();
    }
  });
}

TEST_P(ChannelTest, ChannelsDoNotMixTheirMessages) {
  on_ranks(GetParam(), [](Group& group) {
    const std::vector<Rank> to = all_ranks(group);
    const auto first =
        group.make_channel({.capacity_bytes = 8, .timeout = kLong, .receive_slots = group.size()});
    const auto second =
        group.make_channel({.capacity_bytes = 16, .timeout = kLong, .receive_slots = group.size()});

    send(group, *second, to, 2, 16);
    send(group, *first, to, 1, 8);

    for (const Rank from : to) {
      EXPECT_EQ(first->next(from).header().round, 1);
      EXPECT_EQ(second->next(from).header().round, 2);
    }
    group.barrier();
  });
}

TEST_P(ChannelTest, OptionsThatMakeNoSenseAreRefusedOnAllRanks) {
  on_ranks(GetParam(), [](Group& group) {
    const auto refusal = [&](const ChannelOptions& options) -> std::string {
      try {
        std::ignore = group.make_channel(options);
      } catch (const Error& error) {
        return error.what();
      }
      return "";
    };

    const std::string most = is_one_host(group) ? "14" : "64";
    EXPECT_EQ(refusal({.slots = 0}), "A channel cannot have 0 slots: give it 1 to " + most + ".");
    EXPECT_EQ(refusal({.slots = 65}), "A channel cannot have 65 slots: give it 1 to " + most + ".");
    EXPECT_EQ(refusal({.slots = 1, .reading = Reading::kLatest}),
              "A channel cannot have 1 slots: give it 2 to " + most + ".");
    EXPECT_THAT(refusal({.capacity_bytes = std::size_t{1} << 63U}), HasSubstr("larger than"));
    EXPECT_THAT(refusal({.capacity_bytes = ~std::size_t{0}}), HasSubstr("larger than"));
    group.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, ChannelTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::transport
