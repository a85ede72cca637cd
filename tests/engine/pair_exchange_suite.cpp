// SPDX-License-Identifier: Apache-2.0
// Pair events on every kind of group: see transport/on_ranks.h.
#include <chrono>

#include <libgossip/base/random.h>
#include <libgossip/engine/pair_exchange.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::expect_throw;
using test::on_ranks;
using test::start_value;
using transport::Group;

constexpr std::chrono::milliseconds kShort{150};
constexpr std::size_t kPieceOfDoubles = (std::size_t{1} << 20U) / sizeof(double);

void fill(PairExchange& exchange, Rank rank) {
  visit(exchange.copy(), [&]<class T>(std::span<T> values) {
    for (std::size_t k = 0; k < values.size(); ++k)
      values[k] = static_cast<T>(start_value(rank, 0, k));
  });
}

template <class T>
void expect_near(std::span<T> values, const std::function<double(std::size_t)>& expected) {
  const double tolerance = std::same_as<T, float> ? 1e-6 : 1e-14;
  for (std::size_t k = 0; k < values.size(); ++k) {
    ASSERT_NEAR(static_cast<double>(values[k]), expected(k), tolerance) << "element " << k;
  }
}

class PairExchangeTest : public testing::TestWithParam<int> {};

TEST_P(PairExchangeTest, StartsAtZeroInPiecesThatCoverTheCopy) {
  on_ranks(GetParam(), [](Group& group) {
    const std::size_t size = 2 * kPieceOfDoubles + 3;
    const PairExchange exchange(group, Dtype::kFloat64, size);

    ASSERT_EQ(exchange.num_pieces(), 3U);
    std::size_t covered = 0;
    for (std::size_t piece = 0; piece < exchange.num_pieces(); ++piece) {
      EXPECT_EQ(exchange.piece(piece).data, exchange.copy().as<double>().data() + covered);
      covered += exchange.piece(piece).size;
    }
    EXPECT_EQ(covered, size);
    expect_near(exchange.copy().as<double>(), [](std::size_t) { return 0.0; });
    group.barrier();
  });
}

TEST_P(PairExchangeTest, PairsThatMeetTakeTheirAverage) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank rank = group.rank();
    const Rank peer = rank ^ 1;
    for (const Dtype dtype : {Dtype::kFloat32, Dtype::kFloat64}) {
      for (const std::size_t size :
           {std::size_t{0}, std::size_t{1}, std::size_t{7}, 2 * kPieceOfDoubles + 3}) {
        PairExchange exchange(group, dtype, size);
        fill(exchange, rank);
        group.barrier();

        if (peer < group.size()) exchange.meet(peer);

        visit(exchange.copy(), [&](auto values) {
          expect_near(values, [&](std::size_t k) {
            const double own = start_value(rank, 0, k);
            return peer < group.size() ? (own + start_value(peer, 0, k)) / 2 : own;
          });
        });
        group.barrier();
      }
    }
  });
}

TEST_P(PairExchangeTest, ManyMeetingsInAMatchingKeepStep) {
  on_ranks(GetParam(), [](Group& group) {
    const topology::Schedule schedule = topology::random_matching(group.size(), 5);
    const std::size_t size = kPieceOfDoubles + 5;
    PairExchange exchange(group, Dtype::kFloat64, size);
    fill(exchange, group.rank());
    group.barrier();
    // Elements that all ranks compute for themselves: the ends of both pieces.
    const std::vector<std::size_t> looked_at{0, kPieceOfDoubles - 1, kPieceOfDoubles, size - 1};
    std::vector<std::vector<double>> expected(static_cast<std::size_t>(group.size()));
    for (Rank rank = 0; rank < group.size(); ++rank) {
      for (const std::size_t k : looked_at)
        expected[static_cast<std::size_t>(rank)].push_back(start_value(rank, 0, k));
    }

    topology::Neighborhood neighborhood;
    for (std::int64_t round = 0; round < 30; ++round) {
      schedule.neighborhood(round, group.rank(), neighborhood);
      if (!neighborhood.in.empty()) exchange.meet(neighborhood.in[0].rank);
      expected = test::times(schedule, round, expected);
    }

    for (std::size_t i = 0; i < looked_at.size(); ++i) {
      EXPECT_NEAR(exchange.copy().as<double>()[looked_at[i]],
                  expected[static_cast<std::size_t>(group.rank())][i], 1e-12);
    }
    group.barrier();
  });
}

TEST_P(PairExchangeTest, OneSidedExchangeMovesAlphaOfTheDifference) {
  if (GetParam() == 1) return;  // no pair
  on_ranks(GetParam(), [](Group& group) {
    const std::size_t size = kPieceOfDoubles + 1;
    PairExchange exchange(group, Dtype::kFloat64, size);
    fill(exchange, group.rank());
    group.barrier();

    const Rank last = group.size() - 1;
    if (group.rank() == last) exchange.exchange(0, 0.25);
    group.barrier();

    const auto expected = [&](std::size_t k) {
      const double own = start_value(group.rank(), 0, k);
      if (group.rank() != 0 && group.rank() != last) return own;
      const Rank other = last - group.rank();
      return own - 0.25 * (own - start_value(other, 0, k));
    };
    expect_near(exchange.copy().as<double>(), expected);
    group.barrier();
  });
}

TEST_P(PairExchangeTest, SumsStayWhateverOverlaps) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr int kEvents = 60;
    const Rank rank = group.rank();
    const std::size_t size = kPieceOfDoubles + 1000;
    PairExchange exchange(group, Dtype::kFloat64, size);
    fill(exchange, rank);
    std::vector<double> before(exchange.copy().as<double>().begin(),
                               exchange.copy().as<double>().end());
    average_(group, std::span<double>(before));
    SplitMix64 random(static_cast<std::uint64_t>(rank) + 11);

    double added = 0.0;
    for (int event = 0; event < kEvents; ++event) {
      const auto other = static_cast<Rank>(random() % static_cast<std::uint64_t>(group.size()));
      if (other != rank) exchange.exchange(other, 0.5);
      // As the owner adds its increment.
      const double increment = 0.125 * (rank + 1);
      for (std::size_t piece = 0; piece < exchange.num_pieces(); ++piece) {
        exchange.lock(piece);
        for (double& value : exchange.piece(piece).as<double>()) value += increment;
        exchange.unlock(piece);
      }
      added += increment;
    }
    group.barrier();

    std::vector<double> after(exchange.copy().as<double>().begin(),
                              exchange.copy().as<double>().end());
    average_(group, std::span<double>(after));
    const double mean_added = transport::mean_of(group, added);
    std::size_t wrong = 0;
    for (std::size_t k = 0; k < size; ++k) {
      const double expected = before[k] + mean_added;
      if (std::abs(after[k] - expected) > 1e-12 * std::max(1.0, std::abs(expected))) ++wrong;
    }
    EXPECT_EQ(wrong, 0U) << "of " << size << " elements";
    group.barrier();
  });
}

TEST_P(PairExchangeTest, RefusesPeersThatAreNone) {
  on_ranks(GetParam(), [](Group& group) {
    PairExchange exchange(group, Dtype::kFloat32, 4);
    for (const Rank peer : {-1, group.size(), group.rank()}) {
      expect_throw<Error>([&] { exchange.exchange(peer); }, {"with rank " + std::to_string(peer)});
      expect_throw<Error>([&] { exchange.meet(peer); }, {"meet rank " + std::to_string(peer)});
    }
    group.barrier();
  });
}

TEST_P(PairExchangeTest, NamesTheRankThatKeepsItWaiting) {
  if (GetParam() == 1) return;  // nobody to wait for
  on_ranks(GetParam(), [](Group& group) {
    PairExchange exchange(group, Dtype::kFloat32, 4, kShort);
    if (group.rank() == 1) exchange.lock(0);
    group.barrier();

    if (group.rank() == 0) {
      try {
        exchange.exchange(1);
        ADD_FAILURE() << "exchanged with a copy that is locked";
      } catch (const TimeoutError& error) {
        EXPECT_EQ(error.peer(), 1);
        EXPECT_THAT(error.what(), testing::HasSubstr("piece 0 of rank 1's copy"));
      }
      exchange.lock(0);  // was given back
      exchange.unlock(0);
      try {
        exchange.meet(1);
        ADD_FAILURE() << "met a rank that did not come";
      } catch (const TimeoutError& error) {
        EXPECT_EQ(error.peer(), 1);
        EXPECT_THAT(error.what(), testing::HasSubstr("Rank 1 did not meet rank 0"));
      }
    }
    group.barrier();
    if (group.rank() == 1) exchange.unlock(0);
    group.barrier();
  });
}

TEST_P(PairExchangeTest, RefusesSizesThatDifferBetweenRanks) {
  if (GetParam() == 1) return;  // nobody to differ from
  on_ranks(GetParam(), [](Group& group) {
    const std::size_t size = group.rank() == 0 ? 4 : 5;
    expect_throw<JointError>([&] { PairExchange(group, Dtype::kFloat32, size); },
                             {"rank 0 has 4 elements", "rank 1 has 5 elements"});
    group.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, PairExchangeTest, testing::ValuesIn(test::engine_rank_counts()));

}  // namespace
}  // namespace gossip::engine
