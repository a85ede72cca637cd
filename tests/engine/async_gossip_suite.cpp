// SPDX-License-Identifier: Apache-2.0
// Averaging with the newest models at hand, on every kind of group: see transport/on_ranks.h.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

#include <libgossip/engine/one_way/async_gossip_worker.h>
#include <libgossip/engine/plain_port.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::expect_throw;
using test::on_ranks;
using test::start_value;
using transport::Group;

const AsyncGossipWorkerOptions kOptions{.timeout = std::chrono::seconds(30)};

class AsyncGossipTest : public testing::TestWithParam<int> {};

/// Without gradients: the models meet, within the range of the first ones.
TEST_P(AsyncGossipTest, RanksOfDifferentPacesMeetWithinTheirRange) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank rank = group.rank();
    std::vector<double> own{start_value(rank, 0, 0)};
    std::vector<float> single{static_cast<float>(rank)};
    double least = std::numeric_limits<double>::max();
    double most = -least;
    for (Rank other = 0; other < group.size(); ++other) {
      least = std::min(least, start_value(other, 0, 0));
      most = std::max(most, start_value(other, 0, 0));
    }
    PlainPort port({std::span<double>(own), std::span<float>(single)});
    AsyncGossipWorker worker(group, topology::ring(group.size()), port, kOptions);

    // In parts, of which some suffice when the ranks have a core at the same time.
    const auto is_near_the_others = [&] {
      for (int step = 0; step < 200; ++step) {
        worker.finish();
        std::this_thread::sleep_for(std::chrono::microseconds(100 * (1 + rank)));
      }
      worker.leave();
      const double distance = std::abs(own[0] - transport::mean_of(group, own[0]));
      worker.come_back();
      const bool is_near = distance <= 1e-3 * (most - least) + 1e-12;
      return transport::mean_of(group, is_near ? 1.0 : 0.0) == 1.0;
    };
    int parts = 1;
    while (!is_near_the_others() && parts < 100) ++parts;

    EXPECT_LT(parts, 100);
    EXPECT_GE(own[0], least - 1e-12);
    EXPECT_LE(own[0], most + 1e-12);
    EXPECT_GE(single[0], 0.0F);
    EXPECT_LE(single[0], static_cast<float>(group.size() - 1));
    worker.leave();
    worker.come_back();
  });
}

TEST_P(AsyncGossipTest, NobodyWaitsForARankThatPublishesNothing) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own{1.0 + group.rank()};
    PlainPort port({std::span<double>(own)}, {}, [&] { own[0] += 1.0; });
    AsyncGossipWorker worker(group, topology::complete(group.size()), port, kOptions);
    const Rank silent = group.size() - 1;

    if (group.rank() != silent) {
      for (int step = 0; step < 50; ++step) worker.finish();
    }
    group.barrier();

    if (group.rank() == silent) {
      EXPECT_EQ(own[0], 1.0 + group.rank());  // nor is it touched
    } else {
      EXPECT_EQ(worker.position().step, 50);
    }
    EXPECT_EQ(worker.counters().wait_seconds, 0.0);
  });
}

TEST_P(AsyncGossipTest, OldModelsLoseWeight) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() != 2) return;
    std::vector<double> own{group.rank() == 0 ? 0.0 : 1.0};
    PlainPort port({std::span<double>(own)});
    AsyncGossipWorker worker(group, topology::ring(2), port,
                             {.exponent = 1.0, .timeout = std::chrono::seconds(30)});
    const double before = own[0];
    if (group.rank() == 1) worker.finish();  // publishes 1, and sees nothing or 0
    group.barrier();
    if (group.rank() == 0) {
      // The weights of the same model: 1/2, 1/4, 1/6, once it is here.
      const auto has_arrived = [&] {
        worker.finish();
        return own[0] != before;
      };
      EXPECT_TRUE(wait_until(Deadline(std::chrono::seconds(20)), has_arrived));
      EXPECT_EQ(own[0], 0.5);
      worker.finish();
      EXPECT_EQ(own[0], 0.5 + 0.25 * 0.5);
      worker.finish();
      EXPECT_NEAR(own[0], 0.625 + 0.375 / 6, 1e-15);
      EXPECT_EQ(worker.counters().ages.quantile(1.0), 2);
    }
    group.barrier();
  });
}

/// However the paces differ, and what the others were before.
TEST_P(AsyncGossipTest, AfterALoadNoModelFromBeforeItIsMixed) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
    for (const double before : {100.0, kNaN}) {
      std::vector<double> own{before};
      PlainPort port({std::span<double>(own)});
      AsyncGossipWorker worker(group, topology::complete(group.size()), port, kOptions);
      for (int step = 0; step < 3; ++step) worker.finish();
      for (int pause = 0; pause < 3; ++pause) {
        worker.leave();
        own[0] = 1.0 + pause;
        worker.set_position({.step = 10});
        worker.come_back();
        for (Rank turn = 0; turn < group.size(); ++turn) {
          for (int step = 0; turn == group.rank() && step < 3; ++step) worker.finish();
          group.barrier();
        }
        EXPECT_EQ(own[0], 1.0 + pause) << before;
        EXPECT_EQ(worker.position().step, 13);
      }
    }
  });
}

TEST_P(AsyncGossipTest, WhatCannotWorkIsRefusedOnAllRanks) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own{1.0};
    PlainPort port({std::span<double>(own)});
    const auto make = [&](const topology::Schedule& schedule, double exponent) {
      AsyncGossipWorker(group, schedule, port,
                        {.exponent = exponent, .timeout = std::chrono::seconds(30)});
    };
    expect_throw<Error>([&] { make(topology::ring(group.size() + 1), 0.5); }, {"is made for"});
    expect_throw<Error>([&] { make(topology::ring(group.size()), -1.0); }, {"exponent", "-1"});
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, AsyncGossipTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::engine
