// SPDX-License-Identifier: Apache-2.0
#include <libgossip/topology/checks.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/weights.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

using Rows = std::vector<std::vector<double>>;

const Rows kIdentity{{1, 0}, {0, 1}};
const Rows kHalves{{0.5, 0.5}, {0.5, 0.5}};
const Rows kRowStochastic{{0.75, 0.25}, {0.5, 0.5}};

Graph irregular() { return Graph::directed(3, {{0, 1}, {1, 2}, {2, 0}, {0, 2}}, "irregular"); }

TEST(Checks, AcceptWhatIsStochastic) {
  EXPECT_NO_THROW(validate_doubly_stochastic(star(5)));
  EXPECT_NO_THROW(validate_doubly_stochastic(one_peer_exponential(7)));
  EXPECT_NO_THROW(validate_doubly_stochastic(random_matching(7, 1)));
  EXPECT_NO_THROW(validate_row_stochastic(Schedule(uniform_in_degree(irregular()))));
  EXPECT_NO_THROW(validate_column_stochastic(Schedule(uniform_out_degree(irregular()))));
}

TEST(Checks, SayWhatIsNotStochasticAndWhatWouldDo) {
  test::expect_error([] { validate_doubly_stochastic(irregular()); },
                     {"Schedule 'irregular' is not doubly stochastic", "column 0 sums to 1.33",
                      "Metropolis", "push-sum"});
  test::expect_error([] { validate_row_stochastic(Schedule(uniform_out_degree(irregular()))); },
                     {"row 0 sums to 0.83", "uniform_in_degree"});
  test::expect_error([] { validate_column_stochastic(irregular()); },
                     {"column 0 sums to 1.33", "uniform_out_degree"});
}

TEST(Checks, NameTheRoundOfAPeriod) {
  const Schedule schedule(
      "mine", {MixingMatrix(kHalves), MixingMatrix(kIdentity), MixingMatrix(kRowStochastic)});

  test::expect_error([&] { validate_doubly_stochastic(schedule); },
                     {"Round 2 of schedule 'mine'", "column 0 sums to 1.25"});
  EXPECT_NO_THROW(validate_doubly_stochastic(schedule, 2));
  test::expect_error([&] { validate_doubly_stochastic(schedule, 1000); }, {"Round 2"});
}

TEST(Checks, LookAt64RoundsOfAScheduleThatNeverRepeats) {
  const auto bad_from = [](std::int64_t first) {
    return Schedule("mine", 2, 0, [first](std::int64_t round, Rank, Neighborhood& result) {
      result = {};
      result.self_weight = round < first ? 1.0 : 0.5;
    });
  };

  test::expect_error([&] { validate_doubly_stochastic(bad_from(63)); },
                     {"Round 63", "row 0 sums to 0.5"});
  EXPECT_NO_THROW(validate_doubly_stochastic(bad_from(64)));
  test::expect_error([&] { validate_doubly_stochastic(bad_from(64), 65); }, {"Round 64"});
}

TEST(Checks, RefuseANegativeNumberOfRounds) {
  test::expect_error([] { validate_doubly_stochastic(ring(3), -1); }, {"-1 rounds", "ring"});
}

/// A schedule of 2 ranks in which both do as `own` says.
Schedule both_do(Neighborhood own) {
  return {"mine", 2, 1, [own](std::int64_t, Rank, Neighborhood& result) { result = own; }};
}

TEST(Checks, FindSendersAndReceiversThatDisagree) {
  test::expect_error(
      [] {
        validate_consistent(both_do({0.5, {}, {{1, 0.5}}}));
      },
      {"mine", "rank 0 sends to 1 ranks, but 0 expect"});
  const Schedule nobody_sends("mine", 2, 1, [](std::int64_t, Rank rank, Neighborhood& result) {
    result = {0.5, {{1 - rank, 0.5}}, {}};
  });
  test::expect_error([&] { validate_consistent(nobody_sends); },
                     {"rank 0 sends to 0 ranks, but 1 expect"});
  test::expect_error([&] { validate_row_stochastic(nobody_sends); }, {"rank 0 sends to 0 ranks"});
  const Schedule other_weight("mine", 2, 1, [](std::int64_t, Rank rank, Neighborhood& result) {
    result = {0.5, {{1 - rank, 0.5}}, {{1 - rank, 0.25}}};
  });
  test::expect_error([&] { validate_consistent(other_weight); }, {"other weights"});
}

TEST(Checks, FindListsThatAreNotSorted) {
  const Schedule schedule("mine", 3, 1, [](std::int64_t, Rank rank, Neighborhood& result) {
    const Rank next = (rank + 1) % 3;
    const Rank last = (rank + 2) % 3;
    result = {0.5, {{next, 0.25}, {last, 0.25}}, {{next, 0.25}, {last, 0.25}}};
  });

  test::expect_error([&] { validate_consistent(schedule); }, {"senders of rank 1", "sorted"});
}

TEST(Checks, CountTheRoundsThatConnect) {
  const Schedule late("mine", {MixingMatrix(kIdentity), MixingMatrix(kIdentity),
                               MixingMatrix(kHalves), MixingMatrix(kIdentity)});

  EXPECT_EQ(rounds_to_connect(ring(1), 10), 0);
  EXPECT_EQ(rounds_to_connect(ring(8), 10), 1);
  EXPECT_EQ(rounds_to_connect(late, 10), 3);
  EXPECT_EQ(rounds_to_connect(late, 2), std::nullopt);
  EXPECT_EQ(rounds_to_connect(one_peer_exponential(64), 10), 1);
  EXPECT_EQ(rounds_to_connect(random_matching(4, 1), 1), std::nullopt);
  EXPECT_EQ(rounds_to_connect(Schedule(MixingMatrix(kIdentity)), 1'000'000'000), std::nullopt);
}

TEST(Checks, RandomMatchingsConnectSoon) {
  for (int size = 1; size <= 64; ++size) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      EXPECT_NO_THROW(validate_connected(random_matching(size, seed))) << size;
    }
  }
}

TEST(Checks, NameTwoRanksThatAreNotConnected) {
  const Schedule forwards = Graph::directed(3, {{1, 0}, {0, 1}, {2, 0}}, "mine");
  const Schedule backwards = Graph::directed(3, {{1, 0}, {0, 1}, {0, 2}}, "mine");

  test::expect_error([&] { validate_connected(forwards); }, {"mine", "from rank 0 to rank 2"});
  test::expect_error([&] { validate_connected(backwards); }, {"mine", "from rank 2 to rank 0"});
  EXPECT_NO_THROW(validate_connected(ring(1)));
}

TEST(Checks, RefuseToDropWhereNeighborsAreNotMutualOrTooMany) {
  EXPECT_NO_THROW(check_may_drop(ring(5), 2));
  EXPECT_NO_THROW(check_may_drop(random_matching(6, 1), 64));
  test::expect_error([] { check_may_drop(directed_ring(4), 64); },
                     {"'directed-ring' has neighbors that are not mutual (rank 0 in round 0)"});
  test::expect_error([] { check_may_drop(star(6), 4); },
                     {"'star' has a rank with 5 neighbors", "at most 4 can be named"});
}

TEST(Checks, RefuseMatricesThatAreNotSymmetricInARound) {
  EXPECT_NO_THROW(validate_symmetric(ring(5), 2));
  EXPECT_NO_THROW(validate_symmetric(random_matching(6, 1), 64));
  test::expect_error([] { validate_symmetric(one_peer_exponential(5), 64); },
                     {"Round 0 of schedule 'one-peer-exponential' is not symmetric", "rank 0"});
  test::expect_error([] { validate_symmetric(star(6), 4); },
                     {"'star': rank 0 has 5 neighbors", "at most 4"});
}

TEST(Checks, NameTheSizeThatATopologyIsMadeFor) {
  EXPECT_NO_THROW(check_size("ring", 4, 4));
  test::expect_error([] { check_size("ring", 4, 3); },
                     {"'ring' is made for 4 ranks, but the group has 3"});
}

}  // namespace
}  // namespace gossip::topology
