// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <numeric>
#include <string>
#include <thread>

#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/algorithm/push_sum_sgd.h>
#include <libgossip/base/deadline.h>
#include <libgossip/base/random.h>
#include <libgossip/engine/one_way/overlap_worker.h>
#include <libgossip/engine/pairs/pair_worker.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/mixer.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/transport/local/cluster.h>

#include "engine/engine_test_support.h"
#include "support/said.h"
#include "support/thread_ranks.h"

namespace gossip::engine {
namespace {

using policy::OnLostNeighbor;
using test::run_ranks;
using test::start_value;
using transport::local::Cluster;

constexpr std::chrono::milliseconds kShort{200};
/// A rank that only waits for a core is not lost.
constexpr std::chrono::milliseconds kPatient{2000};

TEST(MixerUnderFaults, ARankWhoseMessagesStopIsNamed) {
  Cluster cluster(4);
  run_ranks(4, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own(3, 1.0);
    Mixer mixer(*group, topology::ring(4), {{std::span<double>(own)}}, kPatient);
    for (std::int64_t round = 0; round < 3; ++round) mixer.mix(round);
    group->barrier();
    if (rank == 0) cluster.faults().pause(2);
    group->barrier();

    Rank waited_for = -1;
    try {
      for (std::int64_t round = 3; round < 10; ++round) mixer.mix(round);
    } catch (const TimeoutError& error) {
      waited_for = error.peer();
    }

    if (rank == 1 || rank == 3) {
      EXPECT_EQ(waited_for, 2) << "rank " << rank;
    }
    EXPECT_NE(waited_for, -1) << "rank " << rank;
  });
}

TEST(MixerUnderFaults, ASilentNeighborMayBeDropped) {
  std::array<double, 4> models{};
  Cluster cluster(4);
  run_ranks(4, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{static_cast<double>(rank), 1.0};
    Membership membership(*group, topology::complete(4).out_neighbors(rank),
                          {.timeout = kPatient, .on_lost_neighbor = OnLostNeighbor::kDrop});
    Mixer mixer(*group, topology::complete(4), {{std::span<double>(own)}}, kPatient, &membership);
    mixer.mix(0);
    group->barrier();
    if (rank == 2) cluster.faults().pause(2);
    own[0] = rank;
    group->barrier();

    if (rank != 2) {
      for (std::int64_t round = 1; round < 60; ++round) mixer.mix(round);
      Counters counters = mixer.counters();
      membership.add_to(counters);
      EXPECT_EQ(counters.neighbors_lost, 1);
      EXPECT_EQ(counters.halves_lost, 1);  // rank 2 may have taken the last message
      EXPECT_GE(membership.epoch(), 1U);
      EXPECT_EQ(own[1], 1.0);  // rows are stochastic
    }
    models[static_cast<std::size_t>(rank)] = own[0];
    group->barrier();
  });
  // The three agree, and on their own mean: columns are stochastic, too.
  for (const std::size_t rank : {0U, 1U, 3U}) EXPECT_NEAR(models[rank], 4.0 / 3.0, 1e-9);
}

TEST(MixerUnderFaults, SeveralSilentNeighborsMayBeDroppedAtOnce) {
  std::array<double, 4> models{};
  Cluster cluster(4);
  run_ranks(4, [&](int rank) {
    const auto group = cluster.group(rank);
    const bool is_silent = rank == 0 || rank == 3;
    std::vector<double> own{static_cast<double>(rank), 1.0};
    Membership membership(*group, topology::complete(4).out_neighbors(rank),
                          {.timeout = kPatient, .on_lost_neighbor = OnLostNeighbor::kDrop});
    Mixer mixer(*group, topology::complete(4), {{std::span<double>(own)}}, kPatient, &membership);
    mixer.mix(0);
    group->barrier();
    if (is_silent) cluster.faults().pause(rank);
    own[0] = rank;
    group->barrier();

    if (!is_silent) {
      for (std::int64_t round = 1; round < 60; ++round) mixer.mix(round);
      Counters counters = mixer.counters();
      membership.add_to(counters);
      EXPECT_EQ(counters.neighbors_lost, 2);
      EXPECT_EQ(counters.halves_lost, 2);
      EXPECT_EQ(own[1], 1.0);
    }
    models[static_cast<std::size_t>(rank)] = own[0];
    group->barrier();
  });
  EXPECT_NEAR(models[1], 1.5, 1e-9);
  EXPECT_NEAR(models[2], 1.5, 1e-9);
}

/// Columns that sum to 1, with different shares; rows do not.
topology::Schedule uneven_columns() {
  return {topology::MixingMatrix({{0.25, 0.10, 0.40, 0.05},
                                  {0.30, 0.40, 0.20, 0.15},
                                  {0.35, 0.20, 0.10, 0.30},
                                  {0.10, 0.30, 0.30, 0.50}}),
          "uneven-columns"};
}

/// What its senders keep of it, vectors and push-sum weight follow alike, so that those that are
/// left keep what they have together.
TEST(MixerUnderFaults, WhatALostReceiverWouldHaveGotStaysWithItsSenders) {
  std::array<double, 4> models{};
  std::array<std::array<double, 4>, 2> weights{};
  Cluster cluster(4);
  run_ranks(4, [&](int rank) {
    const auto self = static_cast<std::size_t>(rank);
    const auto group = cluster.group(rank);
    std::vector<double> own{static_cast<double>(rank), 1.0};
    std::vector<float> single{1.0F};
    double weight = 1.0;
    Membership membership(*group, topology::complete(4).out_neighbors(rank),
                          {.timeout = kPatient, .on_lost_neighbor = OnLostNeighbor::kDrop});
    Mixer mixer(*group, uneven_columns(),
                {.pulled = {}, .pushed = {std::span<double>(own), std::span<float>(single)}},
                kPatient, &membership);
    weight = mixer.mix(0, weight);
    group->barrier();
    if (rank == 2) cluster.faults().pause(2);
    group->barrier();

    if (rank != 2) {
      for (std::int64_t round = 1; round < 60; ++round) weight = mixer.mix(round, weight);
      weights[0][self] = weight;
      for (std::int64_t round = 60; round < 90; ++round) weight = mixer.mix(round, weight);
      weights[1][self] = weight;
      Counters counters = mixer.counters();
      membership.add_to(counters);
      EXPECT_EQ(counters.neighbors_lost, 1);
      EXPECT_EQ(counters.halves_lost, 0);
      EXPECT_GT(counters.mass_lost, 0.0);
      EXPECT_NEAR(own[1], weight, 1e-12);
      EXPECT_NEAR(single[0], weight, 1e-5);
      models[self] = own[0] / weight;
    }
    group->barrier();
  });
  EXPECT_NEAR(models[0], models[1], 1e-9);
  EXPECT_NEAR(models[0], models[3], 1e-9);
  const auto sum = [](const std::array<double, 4>& of) { return of[0] + of[1] + of[3]; };
  EXPECT_NEAR(sum(weights[1]), sum(weights[0]), 1e-12);
  EXPECT_GT(sum(weights[0]), 0.5);
}

TEST(MixerUnderFaults, PullsAndPushesTogetherCannotDropANeighbor) {
  Cluster cluster(3);
  run_ranks(3, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> pulled{1.0};
    std::vector<double> pushed{1.0};
    Membership membership(*group, topology::ring(3).out_neighbors(rank),
                          {.on_lost_neighbor = OnLostNeighbor::kDrop});
    test::expect_throw<Error>(
        [&] {
          Mixer(*group, topology::ring(3),
                {.pulled = {std::span<double>(pulled)}, .pushed = {std::span<double>(pushed)}},
                kPatient, &membership);
        },
        {"cannot go on without a lost neighbor"});
  });
}

TEST(MixerUnderFaults, NeighborsThatAreNotMutualCannotBeDropped) {
  Cluster cluster(4);
  run_ranks(4, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{1.0};
    Membership membership(*group, topology::ring(4).out_neighbors(rank),
                          {.on_lost_neighbor = OnLostNeighbor::kDrop});
    test::expect_throw<Error>(
        [&] {
          Mixer(*group, topology::directed_ring(4), {{std::span<double>(own)}}, kPatient,
                &membership);
        },
        {"'directed-ring'", "not mutual"});
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
    Mixer mixer(*group, schedule, {{std::span<double>(own)}}, std::chrono::seconds(20));
    for (std::int64_t round = 0; round < 30; ++round) mixer.mix(round);
    EXPECT_NEAR(own[0], expected[static_cast<std::size_t>(rank)][0], 1e-12);
  });
}

/// After rounds in which messages come with such a delay, in milliseconds; one row a rank.
std::vector<std::vector<double>> mixed_with_delays(const std::function<int(Rank from)>& delay) {
  constexpr int kRanks = 5;
  Cluster cluster(kRanks);
  cluster.faults().delay = [&](Rank from, Rank, std::uint64_t) {
    return std::chrono::milliseconds(delay(from));
  };
  std::vector<std::vector<double>> models(kRanks);
  run_ranks(kRanks, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double>& own = models[static_cast<std::size_t>(rank)];
    own.resize(20);
    for (std::size_t k = 0; k < own.size(); ++k) own[k] = start_value(rank, 0, k);
    const std::chrono::seconds timeout(20);
    Membership membership(*group, topology::complete(kRanks).out_neighbors(rank),
                          {.timeout = timeout, .on_lost_neighbor = OnLostNeighbor::kDrop});
    Mixer mixer(*group, topology::complete(kRanks), {{std::span<double>(own)}}, timeout,
                &membership);
    for (std::int64_t round = 0; round < 5; ++round) mixer.mix(round);
  });
  return models;
}

TEST(MixerUnderFaults, TheOrderInWhichMessagesComeDoesNotChangeABit) {
  const auto at_once = mixed_with_delays([](Rank) { return 0; });

  EXPECT_EQ(mixed_with_delays([](Rank from) { return 3 * from; }), at_once);
  EXPECT_EQ(mixed_with_delays([](Rank from) { return 3 * (4 - from); }), at_once);
  EXPECT_EQ(mixed_with_delays([](Rank from) { return 4 * (from * 3 % 5); }), at_once);
}

TEST(MixerUnderFaults, ALostMessageIsNoticed) {
  Cluster cluster(2);
  cluster.faults().drop = [](Rank from, Rank, std::uint64_t sequence) {
    return from == 0 && sequence == 2;
  };
  run_ranks(2, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{1.0};
    Mixer mixer(*group, topology::ring(2), {{std::span<double>(own)}}, kPatient);
    const auto train = [&] {
      for (std::int64_t round = 0; round < 9; ++round) mixer.mix(round);
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
    Mixer mixer(*group, topology::complete(3), {{std::span<double>(own)}}, kPatient);
    if (rank == 2) {
      test::expect_throw<Error>([&] { mixer.mix(8); },
                                {"is in round 7 while rank 2 is in round 8"});
    } else {
      test::expect_throw<Error>([&] { mixer.mix(7); }, {"Rank 2 is in round 8 while rank"});
    }
  });
}

TEST(MixerUnderFaults, ARankThatMakesARoundAgainAloneIsNamed) {
  Cluster cluster(2);
  run_ranks(2, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{1.0};
    Mixer mixer(*group, topology::ring(2), {{std::span<double>(own)}}, kPatient);
    EXPECT_THROW(mixer.mix(rank == 0 ? 5 : 2), Error);
    test::expect_throw<Error>(
        [&] { mixer.mix(5); },
        {"Rank 0 is in round 5 again, but rank 1 is not", "a step of rank 0 failed"});
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
      return Mixer(*group, schedule, {{std::span<float>(own)}}, std::chrono::seconds(20))
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

/// Up to 2 ms, another for each message.
std::chrono::microseconds random_delay(Rank from, Rank to, std::uint64_t sequence) {
  auto random = SplitMix64::at(static_cast<std::uint64_t>(from * 64 + to), sequence);
  return std::chrono::microseconds(random.below(10) == 0 ? random.below(2000) : random.below(50));
}

TEST(OverlapUnderFaults, LateMessagesLeaveTheSumsAlone) {
  constexpr int kRanks = 5;
  constexpr int kSteps = 20'000;
  Cluster cluster(kRanks);
  cluster.faults().delay = random_delay;
  run_ranks(kRanks, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{start_value(rank, 0, 0), start_value(rank, 0, 1)};
    const double mean = transport::mean_of(*group, own[1]);
    PlainPort port({std::span<double>(own)});
    OverlapWorker worker(*group, topology::one_peer_exponential(kRanks), port,
                         {.timeout = std::chrono::seconds(20)});

    for (int step = 0; step < kSteps; ++step) worker.finish();
    worker.leave();

    const double numerator = worker.position().weight * own[1];
    EXPECT_NEAR(transport::mean_of(*group, numerator), mean, 1e-12);
    EXPECT_NEAR(transport::mean_of(*group, worker.position().weight), 1.0, 1e-12);
    EXPECT_GT(worker.counters().gossip_rounds, 0);
    EXPECT_EQ(worker.counters().gossip_rounds + worker.counters().skipped, worker.position().round);
  });
}

TEST(PushSumUnderFaults, ASilentNeighborMayBeDropped) {
  std::array<double, 4> models{};
  Cluster cluster(4);
  run_ranks(4, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{static_cast<double>(rank), 1.0};
    PlainPort port({std::span<double>(own)});
    StagedWorker worker(*group, std::make_shared<algorithm::PushSumSGD>(), topology::complete(4),
                        port, {.timeout = kPatient, .on_lost_neighbor = OnLostNeighbor::kDrop});
    worker.finish();
    group->barrier();
    if (rank == 2) cluster.faults().pause(2);
    group->barrier();
    own[0] = rank;
    if (rank == 2) {
      group->barrier();
      return;
    }
    for (int step = 0; step < 60; ++step) worker.finish();

    EXPECT_EQ(worker.counters().neighbors_lost, 1);
    EXPECT_GT(worker.counters().mass_lost, 0.0);
    EXPECT_NEAR(own[1], 1.0, 1e-12);
    // All three have the same model, between those that they had.
    EXPECT_GT(own[0], 0.0);
    EXPECT_LT(own[0], 3.0);
    models[static_cast<std::size_t>(rank)] = own[0];
    group->barrier();
  });
  EXPECT_NEAR(models[0], models[1], 1e-9);
  EXPECT_NEAR(models[0], models[3], 1e-9);
}

TEST(OverlapUnderFaults, AReceiverThatTakesNothingMayBeDropped) {
  Cluster cluster(3);
  std::atomic<int> going_on{0};
  run_ranks(3, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{static_cast<double>(rank)};
    PlainPort port({std::span<double>(own)});
    OverlapWorker worker(*group, topology::complete(3), port,
                         {.timeout = kPatient, .on_lost_neighbor = OnLostNeighbor::kDrop});
    worker.finish();
    group->barrier();
    if (rank == 2) cluster.faults().pause(2);  // nobody hears that it takes what it gets
    group->barrier();
    const auto step = [&] {
      worker.finish();
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      return worker.counters().neighbors_lost > 0;
    };
    if (rank != 2) {
      EXPECT_TRUE(wait_until(Deadline(std::chrono::seconds(20)), step));
      EXPECT_GT(worker.counters().mass_lost, 0.0);
      const std::int64_t rounds = worker.counters().gossip_rounds;
      bool goes_on = false;
      // Weight comes back from a rank that steps only: both step until both go on.
      const auto both_go_on = [&] {
        step();
        if (!goes_on && worker.counters().gossip_rounds > rounds + 5) {
          goes_on = true;
          ++going_on;
        }
        return going_on == 2;
      };
      EXPECT_TRUE(wait_until(Deadline(std::chrono::seconds(20)), both_go_on));
      EXPECT_EQ(worker.counters().neighbors_lost, 1);
    }
    group->barrier();
    if (rank == 2) cluster.faults().resume(2);
    worker.leave();
  });
}

TEST(OverlapUnderFaults, AReceiverThatTakesNothingIsAnErrorThatNamesIt) {
  Cluster cluster(2);
  run_ranks(2, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{1.0};
    Rank named = -1;
    try {
      PlainPort port({std::span<double>(own)});
      OverlapWorker worker(*group, topology::ring(2), port, {.timeout = kShort});
      if (rank == 1) cluster.faults().pause(1);
      group->barrier();
      const Deadline deadline(std::chrono::seconds(20));
      while (rank == 0 && !deadline.has_passed()) {
        worker.finish();
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
      group->barrier();
      throw TimeoutError(-1, "the end of the other rank, which the error unwinds as well");
    } catch (const TimeoutError& error) {
      named = error.peer();
      if (rank == 0) group->barrier();
    }
    EXPECT_EQ(named, rank == 0 ? 1 : -1);
  });
}

/// Two waits at once, as each is spoken of after ten seconds only.
TEST(PairExchangeUnderFaults, ARankThatWaitsForLongSaysForWhom) {
  const Cluster averaging(2);
  const Cluster draining(2);
  const test::Said said;
  const auto await = [&](const std::string& text) {
    EXPECT_TRUE(wait_until(Deadline(std::chrono::seconds(60)), [&] {
      return said.text().find(text) != std::string::npos;
    })) << text;
  };
  run_ranks(4, [&](int thread) {
    const auto group = (thread < 2 ? averaging : draining).group(thread % 2);
    const Rank peer = 1 - group->rank();
    PairExchange exchange(
        *group, std::make_shared<algorithm::ADPSGD>(), {{Dtype::kFloat64, nullptr, 3}},
        {.peers = {peer}, .elapsed = {1.0, 1.0}, .timeout = std::chrono::seconds(60)});
    if (thread < 2) {
      if (peer == 0) await("waiting for rank 1 to average with");
      exchange.average_with(peer);
      return;
    }
    if (peer == 0) await("waiting for exchanges with ranks 1 to end");
    exchange.close();
    if (peer == 1) {
      EXPECT_TRUE(exchange.request(peer));
    }
    exchange.drain();
  });
}

}  // namespace
}  // namespace gossip::engine
