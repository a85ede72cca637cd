// SPDX-License-Identifier: Apache-2.0
// What comes when its sender is given up, and what is no reason to give a rank up.
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <libgossip/algorithm/push_sum_sgd.h>
#include <libgossip/base/deadline.h>
#include <libgossip/engine/membership.h>
#include <libgossip/engine/one_way/async_gossip_worker.h>
#include <libgossip/engine/one_way/overlap_worker.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/policy/on_lost_neighbor.h>
#include <libgossip/topology/matrices.h>
#include <libgossip/topology/mixing_matrix.h>
#include <libgossip/transport/local/cluster.h>

#include "engine/engine_test_support.h"
#include "support/said.h"
#include "support/thread_ranks.h"

namespace gossip::engine {
namespace {

using policy::OnLostNeighbor;
using test::run_ranks;
using transport::local::Cluster;

/// A rank that only waits for a core is not lost.
constexpr std::chrono::milliseconds kLostAfter{2000};

/// Columns that sum to 1, with different shares; rows do not.
topology::Schedule uneven_pushes() {
  return {topology::MixingMatrix({{0.25, 0.10, 0.40, 0.05},
                                  {0.30, 0.40, 0.20, 0.15},
                                  {0.35, 0.20, 0.10, 0.30},
                                  {0.10, 0.30, 0.30, 0.50}}),
          "uneven-columns"};
}

/// Each of the others counts what it sent to the lost rank last, and nobody mixes what that one
/// sent, which comes when it is lost already.
TEST(PushSumWithLateMessages, WeightsAndTheMassThatWasLostSumToTheRanks) {
  constexpr Rank kLate = 2;
  std::array<double, 4> weights{};
  Cluster cluster(4);
  run_ranks(4, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{static_cast<double>(rank), 1.0};
    PlainPort port({std::span<double>(own)});
    StagedWorker worker(*group, std::make_shared<const algorithm::PushSumSGD>(),
                        topology::Matrices(topology::complete(4), uneven_pushes()), port,
                        {.timeout = kLostAfter, .on_lost_neighbor = OnLostNeighbor::kDrop});
    double& weight = weights[static_cast<std::size_t>(rank)];
    for (int step = 0; step < 5; ++step) worker.finish();
    weight = worker.position().weight;
    EXPECT_GT(std::abs(weight - 1.0), 1e-3);
    group->barrier();
    if (rank == kLate) cluster.faults().pause(kLate);
    group->barrier();

    worker.finish();  // the late rank gets all messages of this round
    group->barrier();
    if (rank == kLate) cluster.faults().resume(kLate);
    group->barrier();
    if (rank != kLate) {
      for (int step = 0; step < 20; ++step) worker.finish();
      EXPECT_EQ(worker.counters().neighbors_lost, 1);
      EXPECT_GT(worker.counters().mass_lost, 0.0);
      weight = worker.position().weight + worker.counters().mass_lost;
      EXPECT_NEAR(own[1], 1.0, 1e-12);
    }
    group->barrier();
  });
  EXPECT_NEAR(weights[0] + weights[1] + weights[2] + weights[3], 4.0, 1e-12);
}

/// No message passes between the late rank and the others until all have given each other up: then
/// each has made up for what it sent, and what comes at last is not counted once more.
TEST(OverlapWithLateMessages, WeightsSumToTheRanks) {
  constexpr Rank kLate = 2;
  std::atomic<bool> is_cut{true};
  Cluster cluster(3);
  cluster.faults().delay = [&](Rank from, Rank to, std::uint64_t) {
    const bool is_late = is_cut && (from == kLate || to == kLate);
    return std::chrono::microseconds(is_late ? std::chrono::hours(1) : std::chrono::hours(0));
  };
  run_ranks(3, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{static_cast<double>(rank), 1.0};
    PlainPort port({std::span<double>(own)});
    OverlapWorker worker(*group, topology::complete(3), port,
                         {.timeout = kLostAfter, .on_lost_neighbor = OnLostNeighbor::kDrop});
    const auto has_made_up = [&] {
      worker.finish();
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      const Counters counters = worker.counters();
      if (rank != kLate) return counters.mass_lost > 0.0;
      return counters.neighbors_lost == 2 && std::abs(worker.position().weight - 1.0) < 1e-12;
    };
    EXPECT_TRUE(wait_until(Deadline(std::chrono::seconds(20)), has_made_up));
    worker.finish();
    group->barrier();
    is_cut = false;
    group->barrier();

    worker.finish();  // takes in all that has come
    worker.leave();

    EXPECT_GT(worker.counters().mass_lost, 0.0);
    EXPECT_EQ(worker.counters().neighbors_lost, rank == kLate ? 2 : 1);
    EXPECT_NEAR(own[1], 1.0, 1e-12);
    EXPECT_NEAR(transport::mean_of(*group, worker.position().weight), 1.0, 1e-12);
    if (rank == kLate) {
      EXPECT_NEAR(worker.position().weight, 1.0, 1e-12);
    }
  });
}

/// Rank 0 has seen all that rank 1 publishes before the pause, so that it finds nothing new after
/// it until rank 1 makes a step.
TEST(AsyncGossipWithPauses, OneThatIsLongerThanTheTimeoutMakesNobodyLost) {
  constexpr std::chrono::seconds kTimeout{10};
  const Cluster cluster(2);
  run_ranks(2, [&](int rank) {
    const auto group = cluster.group(rank);
    std::vector<double> own{0.0};
    PlainPort port({std::span<double>(own)});
    AsyncGossipWorker worker(*group, topology::ring(2), port,
                             {.timeout = kTimeout, .on_lost_neighbor = OnLostNeighbor::kDrop});
    worker.finish();
    group->barrier();
    const auto loses_someone = [&] {
      worker.finish();
      return worker.counters().neighbors_lost > 0;
    };
    if (rank == 1) {
      own[0] = 100.0;  // published when this rank leaves
    } else {
      const auto has_seen_it = [&] { return loses_someone() || own[0] > 1.0; };
      EXPECT_TRUE(wait_until(Deadline(std::chrono::seconds(20)), has_seen_it));
    }
    worker.leave();
    group->barrier();  // each knows that the other has left
    if (rank == 0) RunningClock::skip(2 * kTimeout);
    group->barrier();
    worker.come_back();
    if (rank == 0) {
      EXPECT_FALSE(wait_until(Deadline(std::chrono::milliseconds(200)), loses_someone));
    }
    group->barrier();
    for (int step = 0; step < 3; ++step) EXPECT_FALSE(loses_someone());
    group->barrier();
    worker.leave();
    EXPECT_EQ(worker.counters().neighbors_lost, 0);
  });
}

/// The center of a star has more neighbors than reports go to: it hears of all, but only those that
/// report to it can be missed.
TEST(MembershipOfManyNeighbors, NewsReachesAllAndWhoDoesNotReportIsNotSuspected) {
  constexpr int kRanks = 66;
  constexpr int kReporting = 12;  // 1, 2, ..., 32 before and after it; 64 after is 2 before
  Cluster cluster(kRanks);
  for (Rank rank = 0; rank < kRanks; ++rank) cluster.faults().pause(rank);
  const test::Said said;  // of all who suspect somebody
  run_ranks(kRanks, [&](int rank) {
    const auto group = cluster.group(rank);
    const Deadline deadline(std::chrono::minutes(1));
    Membership membership(
        *group, topology::star(kRanks).out_neighbors(rank),
        {.timeout = std::chrono::minutes(10), .on_lost_neighbor = OnLostNeighbor::kDrop});
    const auto suspected = [&] {
      Counters counters;
      membership.add_to(counters);
      return counters.suspected;
    };
    group->barrier();
    if (rank == 0) {
      RunningClock::skip(std::chrono::seconds(5));
      EXPECT_TRUE(wait_until(deadline, [&] { return suspected() >= kReporting; }));
      int alive = 0;
      for (Rank other = 1; other < kRanks; ++other) {
        alive += membership.state_of(other) == MemberState::kAlive ? 1 : 0;
      }
      EXPECT_EQ(alive, kRanks - 1 - kReporting);
      membership.lose(3, "send a message", 1.5);  // which does not report to it
      for (Rank other = 0; other < kRanks; ++other) cluster.faults().resume(other);
    }
    membership.set_steps(rank + 1);
    EXPECT_TRUE(wait_until(deadline, [&] {
      return membership.job_steps() == kRanks * (kRanks + 1) / 2 && membership.epoch() >= 1;
    }));
    group->barrier();
    EXPECT_LE(suspected(), rank == 0 ? kReporting : 1);
    EXPECT_EQ(membership.is_lost(3), rank == 0);
    group->barrier();
  });
}

}  // namespace
}  // namespace gossip::engine
