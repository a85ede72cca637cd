// SPDX-License-Identifier: Apache-2.0
// How far all ranks are, on every kind of group: see transport/on_ranks.h.
#include <chrono>

#include <libgossip/engine/roster.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::on_ranks;
using transport::Group;

Deadline in_time() { return Deadline(std::chrono::seconds(20)); }

class RosterTest : public testing::TestWithParam<int> {};

TEST_P(RosterTest, NewsReachEveryRankFromNeighborToNeighbor) {
  on_ranks(GetParam(), [](Group& group) {
    const std::vector<Rank> peers = topology::path(group.size()).out_neighbors(group.rank());
    Roster roster(group, peers);
    const auto expected = [&](std::int64_t factor) {
      return factor * group.size() * (group.size() + 1) / 2;
    };

    for (const std::int64_t factor : {1, 10}) {
      roster.set_steps(factor * (group.rank() + 1));
      EXPECT_TRUE(wait_until(in_time(), [&] { return roster.job_steps() == expected(factor); }));
      group.barrier();
    }

    for (Rank rank = 0; rank < group.size(); ++rank)
      EXPECT_EQ(roster.steps_of(rank), 10 * (rank + 1));
    group.barrier();
  });
}

/// A state is loaded that lies behind: nobody counts a step that is undone.
TEST_P(RosterTest, StepsFallOnAllRanksWithAStateThatIsLoadedWhileAllAreAway) {
  on_ranks(GetParam(), [](Group& group) {
    const std::vector<Rank> peers = topology::path(group.size()).out_neighbors(group.rank());
    Roster roster(group, peers);
    for (const std::int64_t steps : {10, 30, 20}) {
      roster.set_steps(100);
      EXPECT_TRUE(wait_until(in_time(), [&] { return roster.job_steps() >= 100 * group.size(); }));
      roster.set_away(true);
      group.barrier();
      if (group.rank() > 0) roster.restart(steps);
      if (group.rank() == group.size() - 1) roster.set_away(false);
      if (group.rank() == 0) roster.restart(steps);
      roster.set_away(false);

      const auto has_settled = [&] {
        EXPECT_LE(roster.job_steps(), steps * group.size());
        return roster.job_steps() == steps * group.size() || testing::Test::HasFailure();
      };
      EXPECT_TRUE(wait_until(in_time(), has_settled));
      group.barrier();
      EXPECT_EQ(roster.job_steps(), steps * group.size());
      EXPECT_FALSE(roster.has_anyone_left());
      group.barrier();
    }
  });
}

TEST_P(RosterTest, WhoLeftWithoutTheOthersIsBackForThemAndForWhatComesNext) {
  on_ranks(GetParam(), [](Group& group) {
    const std::vector<Rank> peers = topology::path(group.size()).out_neighbors(group.rank());
    Roster roster(group, peers);
    const auto hear = [&](bool of_someone) {
      EXPECT_TRUE(wait_until(in_time(), [&] { return roster.has_anyone_left() == of_someone; }));
      group.barrier();
    };
    for (Rank alone = 0; alone < group.size() && group.size() > 1; ++alone) {
      if (group.rank() == alone) roster.set_away(true);
      if (group.rank() == alone)
        group.barrier();
      else
        hear(true);
      if (group.rank() == alone) roster.come_back_alone();
      hear(false);

      if (group.rank() != alone) roster.set_away(true);  // from a call of all of them
      if (group.rank() == alone)
        hear(true);
      else
        group.barrier();
      roster.set_away(true);
      group.barrier();
      roster.restart(5);
      roster.set_away(false);
      const auto know_all_steps = [&] { return roster.job_steps() == 5 * group.size(); };
      EXPECT_TRUE(wait_until(in_time(), know_all_steps));
      hear(false);
    }
  });
}

TEST_P(RosterTest, TellsANeighborHowManyOfItsMessagesWereTaken) {
  on_ranks(GetParam(), [](Group& group) {
    const std::vector<Rank> peers = topology::ring(group.size()).out_neighbors(group.rank());
    Roster roster(group, peers);

    for (const Rank peer : peers) roster.set_taken(peer, 100 * group.rank() + peer);

    for (const Rank peer : peers) {
      EXPECT_TRUE(wait_until(in_time(),
                             [&] { return roster.taken_by(peer) == 100 * peer + group.rank(); }));
    }
    EXPECT_EQ(roster.job_steps(), 0);
    group.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, RosterTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::engine
