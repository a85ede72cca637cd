// SPDX-License-Identifier: Apache-2.0
// The mixer on every kind of group: see transport/on_ranks.h.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>
#include <thread>

#include <libgossip/base/deadline.h>
#include <libgossip/engine/membership.h>
#include <libgossip/engine/rounds/mixer.h>
#include <libgossip/engine/rounds/round_exchange.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::all_schedules;
using test::expect_throw;
using test::on_ranks;
using test::start_value;
using transport::Group;

constexpr std::chrono::seconds kLong{30};

/// Vectors of both types and of the sizes that are easily forgotten.
struct Vectors {
  static constexpr std::size_t kSizes[] = {5, 3, 0, 1, 1001};

  explicit Vectors(Rank rank) {
    for (std::size_t v = 0; v < 5; ++v) {
      if (v % 2 == 1) {
        floats.emplace_back();
        for (std::size_t k = 0; k < kSizes[v]; ++k)
          floats.back().push_back(static_cast<float>(start_value(rank, v, k)));
      } else {
        doubles.emplace_back();
        for (std::size_t k = 0; k < kSizes[v]; ++k)
          doubles.back().push_back(start_value(rank, v, k));
      }
    }
  }

  [[nodiscard]] std::vector<VectorView> views() {
    return {std::span<double>(doubles[0]), std::span<float>(floats[0]),
            std::span<double>(doubles[1]), std::span<float>(floats[1]),
            std::span<double>(doubles[2])};
  }

  /// All elements, the floats too.
  [[nodiscard]] std::vector<double> flat() const {
    std::vector<double> all;
    for (const auto& values : doubles) all.insert(all.end(), values.begin(), values.end());
    for (const auto& values : floats) all.insert(all.end(), values.begin(), values.end());
    return all;
  }

  std::vector<std::vector<double>> doubles;
  std::vector<std::vector<float>> floats;
};

/// Of Vectors: each in whole cache lines.
constexpr std::uint64_t kMessageBytes = 64 + 64 + 0 + 64 + 8064;

std::vector<std::vector<double>> all_starts(int size) {
  std::vector<std::vector<double>> x;
  for (Rank rank = 0; rank < size; ++rank) x.push_back(Vectors(rank).flat());
  return x;
}

class MixerTest : public testing::TestWithParam<int> {};

TEST_P(MixerTest, PullsMultiplyByTheMatrices) {
  on_ranks(GetParam(), [](Group& group) {
    for (const topology::Schedule& schedule : all_schedules(group.size())) {
      SCOPED_TRACE(schedule.name());
      Vectors own(group.rank());
      Mixer mixer(group, schedule, {own.views()}, kLong);
      std::vector<std::vector<double>> expected = all_starts(group.size());

      for (std::int64_t round = 0; round < 7; ++round) {
        mixer.mix(round);
        expected = test::times(schedule, round, expected);
      }

      const std::vector<double> result = own.flat();
      const std::vector<double>& row = expected[static_cast<std::size_t>(group.rank())];
      for (std::size_t k = 0; k < row.size(); ++k) {
        EXPECT_NEAR(result[k], row[k], k < 1006 ? 1e-12 : 1e-5) << "element " << k;
      }
    }
  });
}

/// A state that is loaded may lie behind; ranks reach it one after another.
TEST_P(MixerTest, RoundsMayComeAgain) {
  on_ranks(GetParam(), [](Group& group) {
    for (const topology::Schedule& schedule : all_schedules(group.size())) {
      SCOPED_TRACE(schedule.name());
      std::vector<double> own(3);
      for (std::size_t k = 0; k < own.size(); ++k) own[k] = start_value(group.rank(), 0, k);
      std::vector<std::vector<double>> expected;
      for (Rank rank = 0; rank < group.size(); ++rank) {
        expected.emplace_back(own.size());
        for (std::size_t k = 0; k < own.size(); ++k) {
          expected.back()[k] = start_value(rank, 0, k);
        }
      }
      Mixer mixer(group, schedule, {{std::span<double>(own)}}, kLong);

      for (const std::int64_t start : {0, 2, 0, 5}) {
        std::this_thread::sleep_for(std::chrono::milliseconds(3 * group.rank()));
        for (std::int64_t round = start; round < start + 6; ++round) {
          mixer.mix(round);
          expected = test::times(schedule, round, expected);
        }
      }

      const std::vector<double>& row = expected[static_cast<std::size_t>(group.rank())];
      for (std::size_t k = 0; k < own.size(); ++k) EXPECT_NEAR(own[k], row[k], 1e-12);
    }
  });
}

TEST_P(MixerTest, KeepsTheMeanOverManyRounds) {
  on_ranks(GetParam(), [](Group& group) {
    for (const topology::Schedule& schedule : all_schedules(group.size())) {
      SCOPED_TRACE(schedule.name());
      std::vector<double> own(17);
      for (std::size_t k = 0; k < own.size(); ++k) own[k] = start_value(group.rank(), 0, k);
      std::vector<double> before = own;
      average_(group, std::span<double>(before));
      Mixer mixer(group, schedule, {{std::span<double>(own)}}, kLong);

      for (std::int64_t round = 0; round < 60; ++round) mixer.mix(round);

      average_(group, std::span<double>(own));
      for (std::size_t k = 0; k < own.size(); ++k) EXPECT_NEAR(own[k], before[k], 1e-12);
    }
  });
}

TEST_P(MixerTest, LeavesEqualVectorsExactlyAsTheyAre) {
  on_ranks(GetParam(), [](Group& group) {
    for (const topology::Schedule& schedule : all_schedules(group.size())) {
      Vectors own(0);
      const std::vector<double> before = own.flat();
      Mixer mixer(group, schedule, {own.views()}, kLong);

      for (std::int64_t round = 0; round < 5; ++round) mixer.mix(round);

      EXPECT_EQ(own.flat(), before) << schedule.name();
    }
  });
}

TEST_P(MixerTest, GivesTheSameBitsHoweverFastTheRanksAre) {
  on_ranks(GetParam(), [](Group& group) {
    for (const topology::Schedule& schedule : all_schedules(group.size())) {
      Vectors even(group.rank());
      Vectors uneven(group.rank());
      Mixer first(group, schedule, {even.views()}, kLong);
      Mixer second(group, schedule, {uneven.views()}, kLong);

      for (std::int64_t round = 0; round < 20; ++round) first.mix(round);
      for (std::int64_t round = 0; round < 20; ++round) {
        // Each rank is late in other rounds.
        if ((round * 7 + group.rank()) % 5 == 0)
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        second.mix(round);
      }

      EXPECT_EQ(even.flat(), uneven.flat()) << schedule.name();
    }
  });
}

TEST_P(MixerTest, CountsRoundsAndBytes) {
  on_ranks(GetParam(), [](Group& group) {
    for (const topology::Schedule& schedule : all_schedules(group.size())) {
      SCOPED_TRACE(schedule.name());
      Vectors own(group.rank());
      Mixer mixer(group, schedule, {own.views()}, kLong);
      std::uint64_t senders = 0;
      std::uint64_t receivers = 0;
      topology::Neighborhood neighborhood;
      for (std::int64_t round = 3; round < 9; ++round) {
        schedule.neighborhood(round, group.rank(), neighborhood);
        senders += neighborhood.in.size();
        receivers += neighborhood.out.size();
      }

      for (std::int64_t round = 3; round < 9; ++round) mixer.mix(round);

      EXPECT_EQ(mixer.counters().gossip_rounds, 6);
      EXPECT_EQ(mixer.counters().bytes_sent, receivers * kMessageBytes);
      EXPECT_EQ(mixer.counters().bytes_received, senders * kMessageBytes);
      EXPECT_GE(mixer.counters().wait_seconds, 0.0);
    }
  });
}

/// Sizes on both sides of where a thread of the mixer's own does it. Values come again after
/// `kPeriod` elements, so few have to be foretold.
TEST_P(MixerTest, CorrectsByWhatMixingWouldChange) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kPeriod = 101;
    const auto rank = static_cast<std::size_t>(group.rank());
    for (const std::size_t size : {std::size_t{5}, std::size_t{150'000}}) {
      for (const topology::Schedule& schedule : all_schedules(group.size())) {
        for (const bool is_pushed : {false, true}) {
          SCOPED_TRACE(schedule.name() + (is_pushed ? " pushed" : " pulled"));
          std::vector<double> model{start_value(group.rank(), 1, 0)};
          std::vector<double> correction(size, 0.0);
          std::vector<std::vector<double>> models;
          for (Rank i = 0; i < group.size(); ++i) models.push_back({start_value(i, 1, 0)});
          std::vector<double> expected(kPeriod, 0.0);
          Mixer mixer(group, schedule,
                      {.pulled = {std::span<double>(model)},
                       .corrections = {std::span<double>(correction)},
                       .are_corrections_pushed = is_pushed},
                      kLong);

          for (std::int64_t round = 0; round < 4; ++round) {
            std::vector<std::vector<double>> sent;
            for (Rank i = 0; i < group.size(); ++i) {
              sent.emplace_back(kPeriod);
              for (std::size_t k = 0; k < kPeriod; ++k) {
                sent.back()[k] = start_value(i, static_cast<std::size_t>(round), k);
              }
            }
            const std::span<double> outgoing = mixer.outgoing(round)[0].as<double>();
            for (std::size_t k = 0; k < size; ++k) outgoing[k] = sent[rank][k % kPeriod];
            mixer.mix(round);
            const std::vector<double> mixed = test::times(schedule, round, sent)[rank];
            for (std::size_t k = 0; k < kPeriod; ++k) expected[k] += mixed[k] - sent[rank][k];
            models = test::times(schedule, round, models);
          }
          mixer.settle();

          EXPECT_NEAR(model[0], models[rank][0], 1e-12);
          double largest = 0.0;
          for (std::size_t k = 0; k < size; ++k) {
            largest = std::max(largest, std::abs(correction[k] - expected[k % kPeriod]));
          }
          EXPECT_LE(largest, 1e-12);
        }
      }
    }
  });
}

/// Between hosts a rank has a slot for each message of a round.
TEST_P(MixerTest, SchedulesThatNeverRepeatMayBecomeDenser) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::int64_t kDense = 100;
    const int size = group.size();
    const topology::Schedule ring = topology::directed_ring(size);
    const topology::Schedule complete = topology::complete(size);
    const topology::Schedule schedule(
        "denser", size, 0, [=](std::int64_t round, Rank rank, topology::Neighborhood& result) {
          (round < kDense ? ring : complete).neighborhood(round, rank, result);
        });
    std::vector<double> own{start_value(group.rank(), 0, 0)};
    Mixer mixer(group, schedule, {{std::span<double>(own)}}, std::chrono::seconds(10));

    for (std::int64_t round = 0; round < kDense + 3; ++round) mixer.mix(round);

    double mean = 0.0;
    for (Rank rank = 0; rank < size; ++rank) mean += start_value(rank, 0, 0) / size;
    EXPECT_NEAR(own[0], mean, 1e-12);
  });
}

/// Half of what a rank has from the rank `distance` before it.
topology::MixingMatrix half_from(int size, int distance) {
  std::vector<std::vector<double>> rows;
  for (int i = 0; i < size; ++i) {
    rows.emplace_back(static_cast<std::size_t>(size), 0.0);
    rows.back()[static_cast<std::size_t>(i)] += 0.5;
    rows.back()[static_cast<std::size_t>((i + size - distance) % size)] += 0.5;
  }
  return topology::MixingMatrix(rows);
}

/// The matrices repeat after 2 and 3 rounds, and only round 3 has messages of both from different
/// ranks.
TEST_P(MixerTest, PullsAndPushesMayHaveDifferentPeriods) {
  on_ranks(GetParam(), [](Group& group) {
    const int size = group.size();
    const auto rank = static_cast<std::size_t>(group.rank());
    const topology::Matrices matrices{
        {"pulls", {half_from(size, 0), half_from(size, 1)}},
        {"pushes", {half_from(size, size - 1), half_from(size, 1), half_from(size, 0)}}};
    std::vector<double> pulled{start_value(group.rank(), 0, 0)};
    std::vector<double> pushed{start_value(group.rank(), 1, 0)};
    std::vector<std::vector<double>> expected_pulled;
    std::vector<std::vector<double>> expected_pushed;
    for (Rank other = 0; other < size; ++other) {
      expected_pulled.push_back({start_value(other, 0, 0)});
      expected_pushed.push_back({start_value(other, 1, 0)});
    }
    Mixer mixer(group, matrices,
                {.pulled = {std::span<double>(pulled)}, .pushed = {std::span<double>(pushed)}},
                std::chrono::seconds(10));

    double weight = 1.0;
    for (std::int64_t round = 0; round < 12; ++round) {
      weight = mixer.mix(round, weight);
      expected_pulled = test::times(matrices.pull, round, expected_pulled);
      expected_pushed = test::times(matrices.push, round, expected_pushed);
    }

    EXPECT_NEAR(pulled[0], expected_pulled[rank][0], 1e-12);
    EXPECT_NEAR(pushed[0], expected_pushed[rank][0], 1e-12);
    EXPECT_NEAR(weight, 1.0, 1e-12);
  });
}

TEST_P(MixerTest, CountsTheTimeItWaits) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::chrono::milliseconds kLate{5};
    Vectors own(group.rank());
    Mixer mixer(group, topology::complete(group.size()), {own.views()}, kLong);
    double spent = 0.0;
    double waited = 0.0;

    // A rank that waits for a core does not wait for rank 0: there are rounds until each has.
    const auto has_waited = [&] { return group.rank() == 0 || waited > 0.04; };
    for (std::int64_t round = 0; transport::mean_of(group, has_waited() ? 1.0 : 0.0) < 1.0;
         ++round) {
      if (group.rank() == 0) std::this_thread::sleep_for(kLate);
      const Clock::time_point begin = Clock::now();
      mixer.mix(round);
      spent += seconds_between(begin, Clock::now());
      waited = mixer.counters().wait_seconds;
    }

    EXPECT_LE(waited, spent);
  });
}

TEST_P(MixerTest, TakesTwoMessagesOfMemoryHoweverManyNeighbors) {
  on_ranks(GetParam(), [](Group& group) {
    if (!transport::is_one_host(group)) return;  // else what arrives has memory of its own
    std::vector<double> own(100'000, 1.0);
    const Mixer ring(group, topology::ring(group.size()), {{std::span<double>(own)}}, kLong);
    const Mixer complete(group, topology::complete(group.size()), {{std::span<double>(own)}},
                         kLong);

    EXPECT_EQ(ring.memory_bytes(), complete.memory_bytes());
    if (group.size() == 1) {
      EXPECT_EQ(complete.memory_bytes(), 0U);
    } else {
      EXPECT_GE(complete.memory_bytes(), 1'600'000U);
      EXPECT_LE(complete.memory_bytes(), 1'600'000U + 4096U);
    }
  });
}

TEST_P(MixerTest, MixesNothingAtAll) {
  on_ranks(GetParam(), [](Group& group) {
    Mixer mixer(group, topology::ring(group.size()), {{}}, kLong);
    for (std::int64_t round = 0; round < 3; ++round) mixer.mix(round);
    EXPECT_EQ(mixer.counters().bytes_sent, 0U);
    EXPECT_EQ(mixer.counters().gossip_rounds, 3);
  });
}

TEST_P(MixerTest, RefusesATopologyOfAnotherSizeOnEveryRank) {
  on_ranks(GetParam(), [](Group& group) {
    Vectors own(group.rank());
    const int other = group.size() + 1;
    expect_throw<JointError>([&] { Mixer(group, topology::ring(other), {own.views()}, kLong); },
                             {"'ring' is made for " + std::to_string(other) +
                              " ranks, but the group has " + std::to_string(group.size())});
    group.barrier();
  });
}

TEST_P(MixerTest, RefusesVectorsThatDifferBetweenRanks) {
  if (GetParam() == 1) return;  // nobody to differ from
  on_ranks(GetParam(), [](Group& group) {
    const bool is_last = group.rank() == group.size() - 1;
    std::vector<float> own(is_last ? 6 : 5);
    expect_throw<JointError>(
        [&] { Mixer(group, topology::ring(group.size()), {{std::span<float>(own)}}, kLong); },
        {"rank 0 has 1 vectors: 5 of 4 bytes",
         "rank " + std::to_string(group.size() - 1) + " has 1 vectors: 6 of 4 bytes"});
    group.barrier();
  });
}

TEST_P(MixerTest, NamesTheRankThatDoesNotCome) {
  if (GetParam() == 1) return;  // nobody to wait for
  on_ranks(GetParam(), [](Group& group) {
    const Rank absent = 0;  // the center of the star: nobody waits for anybody else
    std::vector<double> own(3, 1.0);
    Mixer mixer(group, topology::star(group.size()), {{std::span<double>(own)}},
                std::chrono::milliseconds(150));

    if (group.rank() != absent) {
      try {
        mixer.mix(0);
        ADD_FAILURE() << "a round without rank " << absent;
      } catch (const TimeoutError& error) {
        EXPECT_EQ(error.peer(), absent);
        EXPECT_THAT(error.what(), testing::HasSubstr("Rank " + std::to_string(absent)));
        EXPECT_THAT(error.what(), testing::HasSubstr("150 ms"));
      }
    }
    group.barrier();
  });
}

/// What came from a rank that was lost before it was read: nobody mixes it, and between hosts,
/// where a rank has room for one message at a time here, it takes nobody's.
TEST_P(MixerTest, MessagesOfALostRankAreReleasedUnreadAndHeldAgainstNobody) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() < 3) return;
    const Rank lost = group.size() - 1;
    const topology::Schedule schedule = topology::random_matching(group.size(), 7);
    const topology::Matrices matrices(schedule);
    Membership membership(group, topology::complete(group.size()).out_neighbors(group.rank()),
                          {.timeout = kLong, .on_lost_neighbor = policy::OnLostNeighbor::kDrop});
    RoundExchange exchange(group, matrices, {}, sizeof(double), kLong, &membership);
    topology::Neighborhood neighborhood;
    const auto neighbor_in = [&](std::int64_t round) {
      schedule.neighborhood(round, group.rank(), neighborhood);
      return neighborhood.in.empty() ? Rank{-1} : neighborhood.in.front().rank;
    };
    const auto begin = [&](std::int64_t round) {
      exchange.begin(round);
      const double value = 100.0 * static_cast<double>(round) + group.rank();
      if (exchange.has_receivers()) std::memcpy(exchange.slot().data(), &value, sizeof(value));
      exchange.send(sizeof(value), 1.0);
    };

    if (group.rank() == lost) {
      int sent = 0;
      for (std::int64_t round = 0; sent < 3; ++round) {
        if (neighbor_in(round) < 0) continue;
        begin(round);
        ++sent;
      }
    }
    group.barrier();
    if (group.rank() != lost) {
      membership.lose(lost, "send a message", 1.5);
      for (std::int64_t round = 0; round < 40; ++round) {
        begin(round);
        exchange.receive();
        const Rank neighbor = neighbor_in(round);
        const bool is_alone = neighbor < 0 || neighbor == lost;
        EXPECT_EQ(exchange.messages().size(), is_alone ? 0U : 1U) << "round " << round;
        if (exchange.messages().empty()) continue;
        double value = 0.0;
        std::memcpy(&value, exchange.messages().front().payload().data(), sizeof(value));
        EXPECT_EQ(value, 100.0 * static_cast<double>(round) + neighbor);
      }
      exchange.release();
      Counters counters = exchange.counters();
      membership.add_to(counters);
      EXPECT_EQ(counters.neighbors_lost, 1);
      EXPECT_EQ(counters.halves_lost, 0);
    }
    group.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, MixerTest, testing::ValuesIn(test::engine_rank_counts()));

}  // namespace
}  // namespace gossip::engine
