// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/topology/checks.h>
#include <libgossip/topology/directed.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/weights.h>

namespace gossip::topology {
namespace {

using testing::HasSubstr;

/// A ring, and an arc from rank 0 to the other side.
Schedule uneven(int size) {
  std::vector<Arc> arcs;
  for (Rank i = 0; i < size; ++i) arcs.push_back({i, (i + 1) % size});
  arcs.push_back({0, size / 2});
  return Graph::directed(size, arcs, "uneven");
}

TEST(DirectedWeights, RowsOrColumnsSumToOne) {
  const Schedule schedule = uneven(8);
  EXPECT_NO_THROW(validate_row_stochastic(with_row_weights(schedule)));
  EXPECT_NO_THROW(validate_column_stochastic(with_column_weights(schedule)));
  // As in the reference: row 4 has 1/3 in columns 0, 3, 4, column 0 in rows 0, 1, 4.
  EXPECT_DOUBLE_EQ(with_row_weights(schedule).matrix(0)(4, 0), 1.0 / 3);
  EXPECT_DOUBLE_EQ(with_row_weights(schedule).matrix(0)(1, 0), 1.0 / 2);
  EXPECT_DOUBLE_EQ(with_column_weights(schedule).matrix(0)(1, 0), 1.0 / 3);
  EXPECT_DOUBLE_EQ(with_column_weights(schedule).matrix(0)(4, 3), 1.0 / 2);
}

TEST(DirectedWeights, AreTheTopologysWhereTheyFit) {
  const Schedule topology = ring(8);
  EXPECT_EQ(with_row_weights(topology).matrix(0).rows(), topology.matrix(0).rows());
  EXPECT_EQ(with_column_weights(topology).matrix(0).rows(), topology.matrix(0).rows());
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(with_column_weights(one_peer_exponential(8)).matrix(round).rows(),
              one_peer_exponential(8).matrix(round).rows());
  }
}

TEST(Sampling, OnlyActiveRanksSend) {
  const Sampling sampling(8, std::vector<std::vector<Rank>>{{0, 1}, {3, 5}});
  EXPECT_EQ(sampling.period(), 2);
  const MixingMatrix rows = sampled_rows(uneven(8), sampling).matrix(0);
  const MixingMatrix columns = sampled_columns(uneven(8), sampling).matrix(0);
  EXPECT_TRUE(rows.is_row_stochastic());
  EXPECT_TRUE(columns.is_column_stochastic());
  for (Rank i = 0; i < 8; ++i) {
    for (Rank j = 2; j < 8; ++j) {
      if (i == j) continue;
      EXPECT_EQ(rows(i, j), 0.0);
      EXPECT_EQ(columns(i, j), 0.0);
    }
  }
  EXPECT_DOUBLE_EQ(rows(4, 0), 0.5);
  EXPECT_DOUBLE_EQ(columns(4, 0), 1.0 / 3);
  EXPECT_DOUBLE_EQ(columns(4, 4), 1.0);
  EXPECT_NO_THROW(validate_row_stochastic(sampled_rows(uneven(8), sampling)));
  EXPECT_NO_THROW(validate_column_stochastic(sampled_columns(uneven(8), sampling)));
}

TEST(Sampling, UniformTakesSoManyAndEveryoneAsOften) {
  constexpr int kRounds = 6000;
  const Sampling sampling = Sampling::uniform(5, 2, 11);
  std::vector<int> turns(5, 0);
  for (int round = 0; round < kRounds; ++round) {
    int active = 0;
    for (Rank rank = 0; rank < 5; ++rank) {
      const bool is_active = sampling.is_active(round, rank);
      active += is_active ? 1 : 0;
      turns[static_cast<std::size_t>(rank)] += is_active ? 1 : 0;
    }
    EXPECT_EQ(active, 2);
  }
  for (const int count : turns) EXPECT_NEAR(count, kRounds * 2 / 5, 150);  // four deviations
  EXPECT_EQ(sampling.period(), 0);
  EXPECT_TRUE(Sampling::uniform(3, 3, 1).is_active(7, 2));
}

TEST(Sampling, RefusesWhatMakesNoSense) {
  const auto message_of = [](const auto& make) -> std::string {
    try {
      make();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message_of([] { static_cast<void>(Sampling::uniform(4, 0, 1)); }),
              HasSubstr("0 of 4 ranks"));
  EXPECT_THAT(message_of([] { static_cast<void>(Sampling::uniform(4, 5, 1)); }),
              HasSubstr("5 of 4 ranks"));
  EXPECT_THAT(message_of([] { Sampling(4, std::vector<std::vector<Rank>>{}); }),
              HasSubstr("at least one set"));
  EXPECT_THAT(message_of([] { Sampling(4, std::vector<std::vector<Rank>>{{4}}); }),
              HasSubstr("Rank 4"));
  EXPECT_THAT(message_of([] { static_cast<void>(sampled_rows(uneven(8), Sampling::everyone(4))); }),
              HasSubstr("for 8 ranks"));
}

TEST(AverageWithin, TakesTheMeanOfEachGroup) {
  const MixingMatrix matrix = average_within(5, {{0, 2}, {1, 3}});
  EXPECT_TRUE(matrix.is_doubly_stochastic());
  EXPECT_EQ(matrix(0, 2), 0.5);
  EXPECT_EQ(matrix(0, 1), 0.0);
  EXPECT_EQ(matrix(4, 4), 1.0);
  EXPECT_THROW(static_cast<void>(average_within(3, {{0, 1}, {1, 2}})), Error);
  EXPECT_THROW(static_cast<void>(average_within(3, {{3}})), Error);
}

}  // namespace
}  // namespace gossip::topology
