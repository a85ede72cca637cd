// SPDX-License-Identifier: Apache-2.0
#include <libgossip/topology/directed.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/weights.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

using Rows = std::vector<std::vector<double>>;

const Rows kRows{{0.5, 0.5, 0.0}, {0.0, 0.75, 0.25}, {0.25, 0.25, 0.5}};
const Rows kShift{{0, 1, 0}, {0, 0, 1}, {1, 0, 0}};

TEST(Schedule, RepeatsAMatrix) {
  const Schedule schedule = MixingMatrix(kRows);
  Neighborhood own;

  EXPECT_EQ(schedule.size(), 3);
  EXPECT_EQ(schedule.period(), 1);
  EXPECT_EQ(schedule.name(), "matrix");
  for (const std::int64_t round : {std::int64_t{0}, std::int64_t{1}, std::int64_t{1} << 40}) {
    schedule.neighborhood(round, 2, own);
    EXPECT_EQ(own.self_weight, 0.5);
    ASSERT_EQ(own.in.size(), 2U);
    EXPECT_EQ(own.in[0].rank, 0);
    EXPECT_EQ(own.in[1].rank, 1);
    EXPECT_EQ(own.in[1].weight, 0.25);
    ASSERT_EQ(own.out.size(), 1U);
    EXPECT_EQ(own.out[0].rank, 1);
    EXPECT_EQ(own.out[0].weight, 0.25);
    EXPECT_EQ(schedule.matrix(round).rows(), kRows);
  }
}

TEST(Schedule, GivesAGraphItsDefaultWeights) {
  const Schedule undirected = star(5);
  const Schedule directed = Graph::directed(3, {{0, 1}, {1, 2}, {2, 0}, {0, 2}}, "mine");

  EXPECT_EQ(undirected.name(), "star");
  EXPECT_EQ(directed.name(), "mine");
  EXPECT_EQ(undirected.matrix(0).rows(), metropolis(star(5)).rows());
  EXPECT_EQ(directed.matrix(0).self_weight(2), 1.0 / 3.0);
  EXPECT_TRUE(directed.matrix(0).is_row_stochastic());
}

TEST(Schedule, CyclesThroughItsMatrices) {
  const Schedule schedule("mine", {MixingMatrix(kRows), MixingMatrix(kShift)});

  EXPECT_EQ(schedule.period(), 2);
  EXPECT_EQ(schedule.matrix(0).rows(), kRows);
  EXPECT_EQ(schedule.matrix(3).rows(), kShift);
  EXPECT_EQ(schedule.matrix(1'000'000'000'000).rows(), kRows);
  EXPECT_EQ(schedule.max_degree(10), 2);
}

TEST(Schedule, AsksAFunction) {
  const Schedule schedule("mine", 2, 0, [](std::int64_t round, Rank rank, Neighborhood& result) {
    const double weight = 1.0 / static_cast<double>(round + 2);
    result.self_weight = 1.0 - weight;
    result.in.assign(1, {1 - rank, weight});
    result.out.assign(1, {1 - rank, weight});
  });

  EXPECT_EQ(schedule.period(), 0);
  EXPECT_EQ(schedule.matrix(2).rows(), (Rows{{0.75, 0.25}, {0.25, 0.75}}));
  EXPECT_EQ(schedule.max_degree(3), 1);
}

TEST(Schedule, BoundsTheDegreesOfAllRounds) {
  const auto pairs = [](std::int64_t, Rank, Neighborhood&) {};
  EXPECT_EQ(Schedule("mine", {MixingMatrix(kRows), MixingMatrix(kShift)}).degree_bound(), 2);
  EXPECT_EQ(Schedule("mine", 9, 0, pairs).degree_bound(), 8);
  EXPECT_EQ(Schedule("mine", 9, 0, pairs, 2).degree_bound(), 2);
  EXPECT_EQ(random_matching(9, 1).degree_bound(), 1);
  const Schedule around = ring(9);
  EXPECT_EQ(sampled_rows(around, Sampling::uniform(9, 1, 1)).degree_bound(), 2);
}

TEST(Schedule, OverwritesWhatANeighborhoodHeldBefore) {
  const Schedule schedule(
      "mine", {MixingMatrix(kRows), MixingMatrix(Rows{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}})});
  Neighborhood own;

  schedule.neighborhood(0, 2, own);
  schedule.neighborhood(1, 2, own);

  EXPECT_EQ(own.self_weight, 1.0);
  EXPECT_TRUE(own.in.empty());
  EXPECT_TRUE(own.out.empty());
}

TEST(ScheduleTest, WhoIsNotLiveIsLeftOutAndItsWeightStaysHere) {
  const Schedule schedule = complete(4);
  Neighborhood own;
  schedule.neighborhood(
      0, 1, [](Rank rank) { return rank != 2; }, own);
  ASSERT_EQ(own.in.size(), 2U);
  EXPECT_EQ(own.in[0].rank, 0);
  EXPECT_EQ(own.in[1].rank, 3);
  EXPECT_EQ(own.out.size(), 2U);
  EXPECT_DOUBLE_EQ(own.self_weight, 0.5);
  EXPECT_DOUBLE_EQ(own.self_weight + own.in[0].weight + own.in[1].weight, 1.0);
}

TEST(Schedule, RefusesWhatItCannotRepeat) {
  test::expect_error([] { Schedule("mine", std::vector<MixingMatrix>{}); }, {"mine", "no matrix"});
  test::expect_error(
      [] {
        Schedule("mine", {MixingMatrix(kRows), MixingMatrix(Rows{{1}})});
      },
      {"mine", "3 ranks in round 0", "1 ranks in round 1"});
  test::expect_error([] { Schedule("mine", 0, 0, {}); }, {"mine", "at least 1"});
  test::expect_error([] { Schedule("mine", 1, -1, {}); }, {"mine", "period -1"});
}

TEST(Schedule, RefusesRanksAndRoundsThatAreNotThere) {
  const Schedule schedule = ring(4);
  Neighborhood own;

  test::expect_error([&] { schedule.neighborhood(-1, 0, own); }, {"round 0", "not -1"});
  test::expect_error([&] { schedule.neighborhood(0, 4, own); }, {"0..3", "not 4"});
  test::expect_error([&] { schedule.neighborhood(0, -1, own); }, {"0..3", "not -1"});
}

}  // namespace
}  // namespace gossip::topology
