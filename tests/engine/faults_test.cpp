// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <numeric>

#include <libgossip/engine/mixer.h>
#include <libgossip/transport/local/cluster.h>

#include "engine/engine_test_support.h"
#include "support/thread_ranks.h"

namespace gossip::engine {
namespace {

using test::run_ranks;
using test::start_value;
using transport::local::Cluster;

constexpr std::chrono::milliseconds kShort{200};

TEST(MixerUnderFaults, ARankWhoseMessagesStopIsNamed) {
  Cluster cluster(4);
  run_ranks(4, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own(3, 1.0);
    Mixer mixer(*group, topology::ring(4), {std::span<double>(own)}, kShort);
    for (std::int64_t round = 0; round < 3; ++round) mixer.pull(round);
    group->barrier();
    if (rank == 0) cluster.faults().pause(2);
    group->barrier();

    Rank waited_for = -1;
    try {
      for (std::int64_t round = 3; round < 10; ++round) mixer.pull(round);
    } catch (const TimeoutError& error) {
      waited_for = error.peer();
    }

    if (rank == 1 || rank == 3) {
      EXPECT_EQ(waited_for, 2) << "rank " << rank;
    }
    EXPECT_NE(waited_for, -1) << "rank " << rank;
  });
}

TEST(MixerUnderFaults, LateMessagesChangeNothing) {
  Cluster cluster(5);
  cluster.faults().delay = [](Rank from, Rank to, std::uint64_t sequence) {
    return std::chrono::microseconds((static_cast<std::uint64_t>(from * 7 + to * 3) + sequence) %
                                     4 * 500);
  };
  const topology::Schedule schedule = topology::random_matching(5, 3);
  std::vector<std::vector<double>> expected;
  for (Rank rank = 0; rank < 5; ++rank) expected.push_back({start_value(rank, 0, 0)});
  for (std::int64_t round = 0; round < 30; ++round)
    expected = test::times(schedule, round, expected);

  run_ranks(5, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{start_value(rank, 0, 0)};
    Mixer mixer(*group, schedule, {std::span<double>(own)}, std::chrono::seconds(20));
    for (std::int64_t round = 0; round < 30; ++round) mixer.pull(round);
    EXPECT_NEAR(own[0], expected[static_cast<std::size_t>(rank)][0], 1e-12);
  });
}

TEST(MixerUnderFaults, ALostMessageIsNoticed) {
  Cluster cluster(2);
  cluster.faults().drop = [](Rank from, Rank, std::uint64_t sequence) {
    return from == 0 && sequence == 2;
  };
  run_ranks(2, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{1.0};
    Mixer mixer(*group, topology::ring(2), {std::span<double>(own)}, kShort);
    const auto train = [&] {
      for (std::int64_t round = 0; round < 9; ++round) mixer.pull(round);
    };
    if (rank == 1) {
      test::expect_throw<Error>(train, {"Rank 0 is in round 2 while rank 1 is in round 1"});
    } else {
      EXPECT_THROW(train(), TimeoutError);
    }
  });
}

TEST(MixerUnderFaults, RanksInDifferentRoundsAreNoticed) {
  Cluster cluster(3);
  run_ranks(3, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{1.0};
    Mixer mixer(*group, topology::complete(3), {std::span<double>(own)}, kShort);
    if (rank == 2) {
      test::expect_throw<Error>([&] { mixer.pull(8); },
                                {"Rank 0 is in round 7 while rank 2 is in round 8"});
    } else {
      test::expect_throw<Error>([&] { mixer.pull(7); }, {"Rank 2 is in round 8 while rank"});
    }
  });
}

TEST(MixerMemory, DoesNotGrowWithTheNeighborsOf64Ranks) {
  constexpr int kRanks = 64;
  constexpr std::size_t kElements = 10'000;
  Cluster cluster(kRanks);
  run_ranks(kRanks, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<float> own(kElements, 1.0F);
    const auto bytes_of = [&](const topology::Schedule& schedule) {
      return Mixer(*group, schedule, {std::span<float>(own)}, std::chrono::seconds(20))
          .memory_bytes();
    };
    const std::size_t ring = bytes_of(topology::ring(kRanks));
    const std::size_t complete = bytes_of(topology::complete(kRanks));

    EXPECT_EQ(ring, complete);
    // Two messages, and the words for each rank.
    EXPECT_GE(complete, 2 * kElements * sizeof(float));
    EXPECT_LE(complete, 2 * kElements * sizeof(float) + 256 * kRanks);
  });
}

}  // namespace
}  // namespace gossip::engine
