// SPDX-License-Identifier: Apache-2.0
// Who is there, and how far, on every kind of group: see transport/on_ranks.h.
#include <chrono>
#include <memory>

#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/base/deadline.h>
#include <libgossip/engine/membership.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/staged_worker.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using policy::OnLostNeighbor;
using test::expect_throw;
using test::on_ranks;
using transport::Group;

Deadline in_time() { return Deadline(std::chrono::seconds(20)); }

std::vector<Rank> path_neighbors(const Group& group) {
  return topology::path(group.size()).out_neighbors(group.rank());
}

constexpr MembershipOptions kDropping{.timeout = std::chrono::minutes(1),
                                      .on_lost_neighbor = OnLostNeighbor::kDrop};

class MembershipTest : public testing::TestWithParam<int> {};

TEST_P(MembershipTest, ReportsReachEveryRankFromNeighborToNeighbor) {
  on_ranks(GetParam(), [](Group& group) {
    Membership membership(group, path_neighbors(group));
    const auto expected = [&](std::int64_t factor) {
      return factor * group.size() * (group.size() + 1) / 2;
    };

    for (const std::int64_t factor : {1, 10}) {
      membership.set_steps(factor * (group.rank() + 1));
      EXPECT_TRUE(
          wait_until(in_time(), [&] { return membership.job_steps() == expected(factor); }));
      group.barrier();
    }

    for (Rank rank = 0; rank < group.size(); ++rank)
      EXPECT_EQ(membership.steps_of(rank), 10 * (rank + 1));
    group.barrier();
  });
}

/// A state is loaded that lies behind: nobody counts a step that is undone.
TEST_P(MembershipTest, StepsFallOnAllRanksWithAStateThatIsLoadedWhileAllAreAway) {
  on_ranks(GetParam(), [](Group& group) {
    Membership membership(group, path_neighbors(group));
    for (const std::int64_t steps : {10, 30, 20}) {
      membership.set_steps(100);
      EXPECT_TRUE(
          wait_until(in_time(), [&] { return membership.job_steps() >= 100 * group.size(); }));
      membership.leave();
      group.barrier();
      if (group.rank() > 0) membership.restart(steps);
      if (group.rank() == group.size() - 1) membership.come_back();
      if (group.rank() == 0) membership.restart(steps);
      membership.come_back();

      const auto has_settled = [&] {
        EXPECT_LE(membership.job_steps(), steps * group.size());
        return membership.job_steps() == steps * group.size() || testing::Test::HasFailure();
      };
      EXPECT_TRUE(wait_until(in_time(), has_settled));
      group.barrier();
      EXPECT_EQ(membership.job_steps(), steps * group.size());
      EXPECT_FALSE(membership.has_anyone_left());
      group.barrier();
    }
  });
}

TEST_P(MembershipTest, WhoLeftWithoutTheOthersIsBackForThemAndForWhatComesNext) {
  on_ranks(GetParam(), [](Group& group) {
    Membership membership(group, path_neighbors(group));
    const auto hear = [&](bool of_someone) {
      EXPECT_TRUE(
          wait_until(in_time(), [&] { return membership.has_anyone_left() == of_someone; }));
      group.barrier();
    };
    for (Rank alone = 0; alone < group.size() && group.size() > 1; ++alone) {
      if (group.rank() == alone) membership.leave();
      if (group.rank() == alone)
        group.barrier();
      else
        hear(true);
      if (group.rank() == alone) membership.come_back_alone();
      hear(false);

      if (group.rank() != alone) membership.leave();  // for a call of all of them
      if (group.rank() == alone)
        hear(true);
      else
        group.barrier();
      membership.leave();
      group.barrier();
      membership.restart(5);
      membership.come_back();
      const auto know_all_steps = [&] { return membership.job_steps() == 5 * group.size(); };
      EXPECT_TRUE(wait_until(in_time(), know_all_steps));
      hear(false);
    }
  });
}

TEST_P(MembershipTest, TellsANeighborHowManyOfItsMessagesWereTaken) {
  on_ranks(GetParam(), [](Group& group) {
    const std::vector<Rank> neighbors = topology::ring(group.size()).out_neighbors(group.rank());
    Membership membership(group, neighbors);

    for (const Rank neighbor : neighbors)
      membership.set_taken(neighbor, 100 * group.rank() + neighbor);

    for (const Rank neighbor : neighbors) {
      EXPECT_TRUE(wait_until(in_time(), [&] {
        return membership.taken_by(neighbor) == 100 * neighbor + group.rank();
      }));
    }
    EXPECT_EQ(membership.job_steps(), 0);
    group.barrier();
  });
}

TEST_P(MembershipTest, ARankThatLeftIsNamedToThoseWhoNeedItsNextStep) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    Membership membership(group, std::nullopt);
    EXPECT_NO_THROW(membership.check_all_train(0));
    group.barrier();
    if (group.rank() == 0) {
      membership.set_steps(3);
      membership.leave();
    }
    if (group.rank() != 0) {
      const auto learns_of_it = [&] {  // from rank to rank it takes a moment
        static_cast<void>(wait_until(
            in_time(), [] { return false; }, [&] { membership.check_all_train(3); }));
      };
      expect_throw<Error>(learns_of_it, {"Rank 0 left the training loop after 3 steps"});
      EXPECT_NO_THROW(membership.check_all_train(2));  // rank 0 made that step
      EXPECT_EQ(membership.state_of(0), MemberState::kLeft);
    }
    group.barrier();
  });
}

/// All know that all have left, and that rank 1 is back.
TEST_P(MembershipTest, AnEvaluationThatOthersStillDoIsNoReasonToGiveUp) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    Membership membership(group, std::nullopt);
    membership.set_steps(3);
    membership.leave();
    group.barrier();
    if (group.rank() == 1) {
      const auto all_have_left = [&] {
        for (Rank rank = 0; rank < group.size(); ++rank) {
          if (membership.state_of(rank) != MemberState::kLeft) return false;
        }
        return true;
      };
      EXPECT_TRUE(wait_until(in_time(), all_have_left));
      membership.come_back();
      EXPECT_NO_THROW(membership.check_all_train(3));
    }
    group.barrier();
  });
}

TEST_P(MembershipTest, WhoWasAwayAloneIsNotMissedInWhatAllLeaveForNext) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    Membership membership(group, std::nullopt);
    membership.set_steps(3);
    if (group.rank() == 0) {
      membership.leave();
      membership.come_back_alone();
    }
    group.barrier();
    membership.leave();
    group.barrier();
    if (group.rank() == 1) {
      EXPECT_TRUE(
          wait_until(in_time(), [&] { return membership.state_of(0) == MemberState::kLeft; }));
      membership.come_back();
      EXPECT_NO_THROW(membership.check_all_train(3));
    }
    group.barrier();
  });
}

TEST_P(MembershipTest, AWorkerThatWaitsForARankThatRanOutOfBatchesEnds) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    std::vector<double> x(3, 1.0);
    PlainPort port({std::span<double>(x)});
    StagedWorker worker(group, std::make_unique<algorithm::GossipSGD>(),
                        topology::complete(group.size()), port,
                        {.timeout = std::chrono::minutes(1)});
    const auto step = [&] {
      worker.prepare();
      worker.finish();
    };
    for (int i = 0; i < 3; ++i) step();

    if (group.rank() == 0) {
      worker.leave();
    } else {
      expect_throw<Error>([&] { step(); }, {"give every rank the same number of steps"});
    }
    group.barrier();
  });
}

TEST_P(MembershipTest, BothEndsOfAnEdgeGiveItUpAndTheEpochReachesAll) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() < 3) return;
    Membership membership(group, path_neighbors(group), kDropping);
    if (group.rank() == 0) membership.lose(1, "send a message", 1.5);

    EXPECT_TRUE(wait_until(in_time(), [&] { return membership.epoch() >= 1; }));
    if (group.rank() < 2) {
      const Rank other = 1 - group.rank();
      EXPECT_TRUE(wait_until(in_time(), [&] { return membership.is_lost(other); }));
      EXPECT_EQ(membership.state_of(other), MemberState::kLost);
      Counters counters;
      membership.add_to(counters);
      EXPECT_EQ(counters.neighbors_lost, 1);
    }
    group.barrier();
    for (Rank rank = 2; rank < group.size(); ++rank) EXPECT_FALSE(membership.is_lost(rank));
    group.barrier();
  });
}

TEST_P(MembershipTest, WhoIsLostIsNotMissedWhenItLeaves) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() < 3) return;
    Membership membership(group, path_neighbors(group), kDropping);
    if (group.rank() == 0) membership.lose(1, "send a message", 1.5);
    if (group.rank() == 1) {
      membership.leave();
    } else {
      const auto hears = [&] { return membership.has_anyone_left(); };
      EXPECT_TRUE(wait_until(in_time(), hears));
    }
    if (group.rank() == 0) {
      EXPECT_NO_THROW(membership.check_all_train(0));
    } else if (group.rank() == 2) {
      expect_throw<Error>([&] { membership.check_all_train(0); }, {"Rank 1 left"});
    }
    group.barrier();
  });
}

TEST_P(MembershipTest, ALossIsAnErrorThatNamesTheNeighborWhereNoneMayBeDropped) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    Membership membership(group, topology::complete(group.size()).out_neighbors(group.rank()));
    const Rank other = group.rank() == 0 ? 1 : 0;
    try {
      membership.lose(other, "send a message", 1.5);
      ADD_FAILURE() << "no error";
    } catch (const TimeoutError& error) {
      EXPECT_EQ(error.peer(), other);
      EXPECT_THAT(error.what(), testing::HasSubstr("did not send a message for 1.5 s"));
    }
    EXPECT_FALSE(membership.is_lost(other));
    group.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, MembershipTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::engine
