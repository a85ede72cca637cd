// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <map>

#include <libgossip/topology/checks.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/spectral.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

using Rows = std::vector<std::vector<double>>;

/// Peer of every rank in a round, -1 for none.
std::vector<Rank> peers(const Schedule& schedule, std::int64_t round) {
  std::vector<Rank> result;
  Neighborhood own;
  for (Rank rank = 0; rank < schedule.size(); ++rank) {
    schedule.neighborhood(round, rank, own);
    result.push_back(own.in.empty() ? -1 : own.in[0].rank);
  }
  return result;
}

TEST(OnePeerExponential, IsTheReferencesMatrices) {
  const auto reference = test::read_reference("quadratic_n8.json").at("matrices").at("P_one_peer");
  const Schedule schedule = one_peer_exponential(8);

  ASSERT_EQ(schedule.period(), 3);
  for (int round = 0; round < 9; ++round) {
    const auto index = static_cast<std::size_t>(round % 3);
    EXPECT_EQ(schedule.matrix(round).rows(), reference.at(index).get<Rows>()) << round;
  }
}

TEST(OnePeerExponential, IsDoublyStochasticAndConnectsForAllSizes) {
  for (int size = 1; size <= 64; ++size) {
    SCOPED_TRACE(size);
    const Schedule schedule = one_peer_exponential(size);

    EXPECT_EQ(schedule.name(), "one-peer-exponential");
    EXPECT_EQ(schedule.size(), size);
    EXPECT_EQ(schedule.period(), std::max(1, ceil_log2(size)));
    EXPECT_NO_THROW(validate_doubly_stochastic(schedule));
    EXPECT_NO_THROW(validate_connected(schedule));
    EXPECT_EQ(schedule.max_degree(100), size == 1 ? 0 : 1);
    EXPECT_EQ(schedule.matrix(schedule.period()).rows(), schedule.matrix(0).rows());
  }
}

TEST(OnePeerExponential, ReceivesFromTheRankBehindAndSendsToTheRankAhead) {
  const Schedule schedule = one_peer_exponential(5);
  Neighborhood own;

  schedule.neighborhood(2, 1, own);

  EXPECT_EQ(own.self_weight, 0.5);
  ASSERT_EQ(own.in.size(), 1U);
  EXPECT_EQ(own.in[0].rank, 2);  // 1 - 4 mod 5
  EXPECT_EQ(own.in[0].weight, 0.5);
  ASSERT_EQ(own.out.size(), 1U);
  EXPECT_EQ(own.out[0].rank, 0);  // 1 + 4 mod 5
  EXPECT_EQ(own.out[0].weight, 0.5);
}

TEST(OnePeerExponential, RefusesLessThanOneRank) {
  test::expect_error([] { (void)one_peer_exponential(0); }, {"one-peer-exponential", "not 0"});
}

TEST(RandomMatching, IsAMatchingInEveryRound) {
  for (int size = 1; size <= 64; ++size) {
    const Schedule schedule = random_matching(size, 11);
    EXPECT_EQ(schedule.name(), "random-matching");
    EXPECT_EQ(schedule.period(), 0);
    EXPECT_NO_THROW(validate_doubly_stochastic(schedule, 8));
    for (int round = 0; round < 8; ++round) {
      SCOPED_TRACE(std::to_string(size) + " ranks, round " + std::to_string(round));
      const auto peer = peers(schedule, round);
      EXPECT_EQ(std::count(peer.begin(), peer.end(), -1), size % 2);
      EXPECT_TRUE(schedule.matrix(round).is_symmetric());
      for (Rank rank = 0; rank < size; ++rank) {
        const Rank other = peer[static_cast<std::size_t>(rank)];
        if (other < 0) continue;
        EXPECT_NE(other, rank);
        EXPECT_EQ(peer[static_cast<std::size_t>(other)], rank);
      }
    }
  }
}

TEST(RandomMatching, IsAFunctionOfRoundAndSeed) {
  const auto rounds = [](std::uint64_t seed) {
    const Schedule schedule = random_matching(16, seed);
    std::vector<std::vector<Rank>> result;
    for (int round = 15; round >= 0; --round) result.push_back(peers(schedule, round));
    return result;
  };

  EXPECT_EQ(rounds(1), rounds(1));
  EXPECT_NE(rounds(1), rounds(2));
  EXPECT_NE(rounds(1)[0], rounds(1)[1]);
}

TEST(RandomMatching, EveryMatchingIsEquallyLikely) {
  constexpr int kRounds = 42'000;
  struct Case {
    int size;
    int num_matchings;
  };
  for (const Case& c : {Case{4, 3}, Case{5, 15}, Case{6, 15}, Case{8, 105}}) {
    SCOPED_TRACE(c.size);
    const Schedule schedule = random_matching(c.size, 2024);
    std::map<std::vector<Rank>, int> counts;
    for (int round = 0; round < kRounds; ++round) ++counts[peers(schedule, round)];

    // Pearson's statistic: mean num_matchings - 1, standard deviation sqrt(2 (num_matchings - 1)).
    const double expected = static_cast<double>(kRounds) / c.num_matchings;
    double statistic = 0.0;
    for (const auto& [matching, count] : counts) {
      statistic += (count - expected) * (count - expected) / expected;
    }
    const double degrees_of_freedom = c.num_matchings - 1.0;
    EXPECT_EQ(static_cast<int>(counts.size()), c.num_matchings);
    EXPECT_LT(statistic, degrees_of_freedom + 6.0 * std::sqrt(2.0 * degrees_of_freedom));
  }
}

TEST(RandomMatching, SeedsAndRoundsAreUnrelated) {
  constexpr int kSeeds = 30'000;
  int num_same_round = 0;
  int num_same_sum = 0;
  for (int i = 0; i < kSeeds; ++i) {
    const auto seed = static_cast<std::uint64_t>(i);
    const auto first = peers(random_matching(4, seed), 6);
    num_same_round += first == peers(random_matching(4, seed + 1), 6) ? 1 : 0;
    num_same_sum += first == peers(random_matching(4, seed + 1), 5) ? 1 : 0;
  }

  // Two independent ones of 3 matchings: probability 1/3; five standard deviations.
  const double tolerance = 5.0 * std::sqrt(kSeeds * 2.0 / 9.0);
  EXPECT_NEAR(num_same_round, kSeeds / 3.0, tolerance);
  EXPECT_NEAR(num_same_sum, kSeeds / 3.0, tolerance);
}

TEST(RandomMatching, ContractsAsTheReferenceSays) {
  const auto reference =
      test::read_reference("topology_constants.json").at("expected_contraction_p");
  for (const auto& [size_text, values] : reference.items()) {
    SCOPED_TRACE(size_text);
    const Schedule schedule = random_matching(std::stoi(size_text), 99);

    const double p = mean_square_contraction(schedule, 20'000);

    // The norm of the sampling error of the mean matrix is about 1 / sqrt(rounds) = 0.007.
    EXPECT_NEAR(p, values.at("random_perfect_matching").get<double>(), 0.02);
  }
}

}  // namespace
}  // namespace gossip::topology
