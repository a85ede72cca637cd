// SPDX-License-Identifier: Apache-2.0
// Ranks that leave the training loop, on every kind of group: see transport/on_ranks.h.
#include <chrono>
#include <memory>

#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/base/deadline.h>
#include <libgossip/engine/presence.h>
#include <libgossip/engine/staged_worker.h>
#include <libgossip/topology/families.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::expect_throw;
using test::on_ranks;
using transport::Group;

class PresenceTest : public testing::TestWithParam<int> {};

TEST_P(PresenceTest, ARankThatLeftIsNamedToThoseWhoNeedItsNextStep) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    Presence presence(group);
    EXPECT_NO_THROW(presence.check(0));
    group.barrier();
    if (group.rank() == 0) presence.leave(3);
    if (group.rank() == 1) {
      const auto learns_of_it = [&] {  // between hosts it takes a moment
        static_cast<void>(wait_until(
            Deadline(std::chrono::seconds(20)), [] { return false; }, [&] { presence.check(3); }));
      };
      expect_throw<Error>(learns_of_it, {"Rank 0 left the training loop after 3 steps"});
      EXPECT_NO_THROW(presence.check(2));  // rank 0 made that step
    }
    group.barrier();
  });
}

TEST_P(PresenceTest, AnEvaluationThatOthersStillDoIsNoReasonToGiveUp) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    Presence presence(group);
    presence.leave(3);
    group.barrier();
    if (group.rank() == 1) presence.come_back();

    if (group.rank() == 1) {
      EXPECT_NO_THROW(presence.check(3));
    }
    group.barrier();
  });
}

TEST_P(PresenceTest, WhoWasAwayAloneIsNotMissedInWhatAllLeaveForNext) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    Presence presence(group);
    if (group.rank() == 0) {
      presence.leave(3);
      presence.come_back_alone();
    }
    group.barrier();
    presence.leave(3);
    group.barrier();
    if (group.rank() == 1) presence.come_back();

    if (group.rank() == 1) {
      EXPECT_NO_THROW(presence.check(3));
    }
    group.barrier();
  });
}

TEST_P(PresenceTest, AWorkerThatWaitsForARankThatRanOutOfBatchesEnds) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    std::vector<double> x(3, 1.0);
    StagedWorker worker(group, std::make_unique<algorithm::GossipSGD>(),
                        topology::complete(group.size()), {{std::span<double>(x)}, {}},
                        {.local_update = [] {}, .average_gradient = {}},
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

INSTANTIATE_TEST_SUITE_P(Ranks, PresenceTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::engine
