// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/transport/local/cluster.h>

#include "support/said.h"
#include "support/thread_ranks.h"

namespace gossip::transport::local {
namespace {

using namespace std::chrono_literals;
using test::run_ranks;

constexpr std::chrono::milliseconds kHour{3'600'000};

void send(Channel& channel, Rank to, std::int64_t round) {
  std::ignore = channel.acquire(std::vector{to});
  channel.commit({.round = round});
}

TEST(Faults, AreOffByDefault) {
  Cluster cluster(2);

  EXPECT_FALSE(cluster.faults().delay);
  EXPECT_FALSE(cluster.faults().drop);
  EXPECT_FALSE(cluster.faults().is_paused(0));
  EXPECT_FALSE(cluster.faults().is_paused(1));
}

TEST(Faults, ADroppedMessageIsNeverReadAndItsSlotIsFreeAgain) {
  Cluster cluster(2);
  cluster.faults().drop = [](Rank, Rank, std::uint64_t sequence) { return sequence % 2 == 0; };

  run_ranks(2, [&](int rank) {
    const auto group = cluster.group(rank);
    const auto channel = group->make_channel({.slots = 1, .timeout = 10s});
    if (rank == 0) {
      for (int round = 1; round <= 9; ++round) send(*channel, 1, round);
    } else {
      for (int round = 1; round <= 9; round += 2) {
        const Message message = channel->next(0);
        EXPECT_EQ(message.header().round, round);
        EXPECT_EQ(message.header().sequence, static_cast<std::uint64_t>(round));
      }
    }
    group->barrier();
  });
}

TEST(Faults, ALostMessageEndsInATimeoutThatNamesTheSender) {
  Cluster cluster(3);
  cluster.faults().drop = [](Rank from, Rank to, std::uint64_t) { return from == 0 && to == 2; };

  run_ranks(3, [&](int rank) {
    const auto group = cluster.group(rank);
    const auto channel = group->make_channel({.timeout = 50ms});
    if (rank == 0) {
      std::ignore = channel->acquire(std::vector{1, 2});
      channel->commit({.round = 4});
    }
    group->barrier();
    if (rank == 1) {
      EXPECT_EQ(channel->next(0).header().round, 4);
    } else if (rank == 2) {
      try {
        std::ignore = channel->next(0);
        ADD_FAILURE() << "the message was not lost";
      } catch (const TimeoutError& error) {
        EXPECT_EQ(error.peer(), 0);
      }
    }
    group->barrier();
  });
}

TEST(Faults, ADelayedMessageArrivesLaterAndInOrder) {
  Cluster cluster(2);
  std::atomic<std::chrono::milliseconds> delay = kHour;
  cluster.faults().delay = [&](Rank, Rank, std::uint64_t sequence) {
    return sequence == 1 ? delay.load() : 0ms;
  };

  run_ranks(2, [&](int rank) {
    const auto group = cluster.group(rank);
    const auto channel = group->make_channel({.slots = 2, .timeout = 10s});
    if (rank == 0) {
      send(*channel, 1, 1);
      send(*channel, 1, 2);
    }
    group->barrier();
    if (rank == 1) {
      const Deadline clock(10s);
      EXPECT_FALSE(channel->try_next(0));
      delay = 30ms;
      EXPECT_EQ(channel->next(0).header().round, 1);
      EXPECT_GE(clock.elapsed_seconds(), 0.03);
      EXPECT_EQ(channel->next(0).header().round, 2);
    }
    group->barrier();
  });
}

TEST(Faults, APausedRankIsHeardAfterItResumes) {
  Cluster cluster(2);

  run_ranks(2, [&](int rank) {
    const auto group = cluster.group(rank);
    const auto channel = group->make_channel({.slots = 2, .timeout = 30ms});
    if (rank == 0) {
      send(*channel, 1, 7);
      cluster.faults().pause(0);
    }
    group->barrier();
    if (rank == 1) {
      EXPECT_TRUE(cluster.faults().is_paused(0));
      EXPECT_FALSE(cluster.faults().is_paused(1));
      EXPECT_FALSE(channel->try_next(0));
      EXPECT_THROW(std::ignore = channel->next(0), TimeoutError);
      cluster.faults().resume(0);
      EXPECT_EQ(channel->next(0).header().round, 7);
    }
    group->barrier();
  });
}

TEST(Faults, HoldForTheLatestMessageToo) {
  Cluster cluster(2);
  cluster.faults().drop = [](Rank, Rank, std::uint64_t sequence) { return sequence == 1; };
  std::atomic<std::chrono::milliseconds> delay = kHour;
  cluster.faults().delay = [&](Rank, Rank, std::uint64_t sequence) {
    return sequence == 3 ? delay.load() : 0ms;
  };

  run_ranks(2, [&](int rank) {
    const auto group = cluster.group(rank);
    const auto channel = group->make_channel({.slots = 2, .reading = Reading::kLatest});
    const auto publish = [&] {
      group->barrier();
      if (rank == 0) send(*channel, 1, 0);
      group->barrier();
    };
    const auto sequence = [&]() -> std::uint64_t {
      const std::optional<Message> message = channel->latest(0);
      return message ? message->header().sequence : 0;
    };

    publish();
    if (rank == 1) {  // lost
      EXPECT_EQ(sequence(), 0U);
    }
    publish();
    if (rank == 1) {
      EXPECT_EQ(sequence(), 2U);
      cluster.faults().pause(0);
      EXPECT_EQ(sequence(), 0U);
      cluster.faults().resume(0);
      EXPECT_EQ(sequence(), 2U);
    }
    publish();
    if (rank == 1) {
      EXPECT_EQ(sequence(), 0U);  // late
      delay = 20ms;
      EXPECT_TRUE(wait_until(Deadline(10s), [&] { return sequence() == 3; }));
    }
    group->barrier();
  });
}

TEST(Cluster, RefusesRanksThatThereAreNot) {
  EXPECT_THROW(Cluster(0), Error);
  EXPECT_THROW(Cluster(-1), Error);
  EXPECT_THROW(std::ignore = Cluster(2).group(2), Error);
  EXPECT_THROW(std::ignore = Cluster(2).group(-1), Error);
  EXPECT_EQ(Cluster(2).group(1)->transport(), "local");
}

TEST(Cluster, AGroupMayOutliveIt) {
  const auto group = [] { return Cluster(1).group(0); }();

  EXPECT_EQ(group->all_gather("x").size(), 1U);
}

TEST(Cluster, WhoComesAfterATimeoutDoesNotMeetWhoHasGivenUp) {
  const Cluster cluster(3, 50ms);
  std::atomic<int> failed = 0;

  run_ranks(3, [&](int rank) {
    const auto group = cluster.group(rank);
    if (rank == 2) {
      EXPECT_TRUE(wait_until(Deadline(20s), [&] { return failed == 2; }));
    }
    EXPECT_THROW(group->barrier(), TimeoutError);
    ++failed;
    EXPECT_THROW(std::ignore = group->all_gather("x"), TimeoutError);
  });

  EXPECT_EQ(failed, 3);
}

/// Also the one that came first, for two of them then.
TEST(Cluster, WhoWaitsForLongInACollectiveCallSaysForHowMany) {
  const Cluster cluster(3, kHour);
  const test::Said said;
  const std::string text = "waiting for 1 of 3 ranks to come to a collective call (";
  const auto is_said = [&] { return said.text().find(text) != std::string::npos; };
  run_ranks(3, [&](int rank) {
    const auto group = cluster.group(rank);
    for (int look = 0; rank == 2 && look < 2000 && !is_said(); ++look) {
      RunningClock::skip(1s);
      std::this_thread::sleep_for(10ms);
    }
    group->barrier();
  });
  EXPECT_TRUE(is_said()) << said.text();
}

}  // namespace
}  // namespace gossip::transport::local
