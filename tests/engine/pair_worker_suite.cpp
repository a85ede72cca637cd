// SPDX-License-Identifier: Apache-2.0
// The driver of pair events, on every kind of group: see transport/on_ranks.h.
#include <chrono>
#include <memory>
#include <thread>

#include <libgossip/algorithm/a2cid2.h>
#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/engine/pairs/pair_worker.h>
#include <libgossip/engine/plain_port.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::expect_throw;
using test::on_ranks;
using test::start_value;
using transport::Group;

constexpr std::size_t kSize = 9;

PairWorkerOptions options() { return {.seed = 4, .timeout = std::chrono::seconds(30)}; }

/// A model of some numbers, whose local update adds 1 to each.
struct Counting {
  Counting(Group& group, std::shared_ptr<const algorithm::PairAlgorithm> method,
           const topology::Graph& graph)
      : worker(group, std::move(method), graph, port, options()) {
    for (std::size_t k = 0; k < kSize; ++k) model()[k] = start_value(group.rank(), 0, k);
    worker.prepare();
  }
  std::span<double> model() { return worker.model_memory()[0].as<double>(); }

  PlainPort port{{VectorView(Dtype::kFloat64, nullptr, kSize)}, {}, [this] {
                   for (double& value : model()) value += 1.0;
                 }};
  PairWorker worker;
};

class PairWorkerTest : public testing::TestWithParam<int> {};

TEST_P(PairWorkerTest, TheMeanMovesByTheLocalUpdatesOnly) {
  on_ranks(GetParam(), [](Group& group) {
    Counting counting(group, std::make_shared<algorithm::ADPSGD>(), topology::ring(group.size()));
    const int steps = 100 * (1 + group.rank());  // of different paces
    const double start = transport::mean_of(group, start_value(group.rank(), 0, 3));

    for (int step = 0; step < steps; ++step) {
      counting.worker.finish();
      counting.worker.prepare();
      if (step % 16 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    counting.worker.leave();

    EXPECT_NEAR(transport::mean_of(group, counting.model()[3]),
                start + transport::mean_of(group, steps), 1e-10);
    EXPECT_EQ(counting.worker.position().step, steps);
    counting.worker.come_back();
    counting.worker.leave();
  });
}

TEST_P(PairWorkerTest, TheJobsStepsBecomeKnownToAll) {
  on_ranks(GetParam(), [](Group& group) {
    Counting counting(group, std::make_shared<algorithm::ADPSGD>(),
                      topology::complete(group.size()));
    for (int step = 0; step < 10 + group.rank(); ++step) {
      counting.worker.finish();
      counting.worker.prepare();
    }
    const std::int64_t total = 10 * group.size() + group.size() * (group.size() - 1) / 2;

    EXPECT_TRUE(wait_until(Deadline(std::chrono::seconds(20)),
                           [&] { return counting.worker.job_steps() == total; }));
    counting.worker.leave();
  });
}

TEST_P(PairWorkerTest, StepsWithoutCommunicationAreLocal) {
  on_ranks(GetParam(), [](Group& group) {
    Counting counting(group, std::make_shared<algorithm::ADPSGD>(), topology::ring(group.size()));

    for (int step = 0; step < 5; ++step) {
      counting.worker.finish({.communicates = false});
      counting.worker.prepare({.communicates = false});
    }
    counting.worker.leave();

    EXPECT_EQ(counting.model()[1], start_value(group.rank(), 0, 1) + 5.0);
    EXPECT_EQ(counting.worker.counters().gossip_rounds, 0);
  });
}

TEST_P(PairWorkerTest, AStepStartsAsManyExchangesAsAreDecided) {
  on_ranks(GetParam(), [](Group& group) {
    Counting counting(group, std::make_shared<algorithm::ADPSGD>(), topology::ring(group.size()));
    const auto started = [&] {
      const Counters counters = counting.worker.counters();
      return static_cast<double>(counters.gossip_rounds + counters.skipped);
    };

    for (int step = 0; step < 5; ++step) counting.worker.finish({.exchanges = 0.0});
    EXPECT_EQ(started(), 0.0);
    for (int step = 0; step < 5; ++step) counting.worker.finish({.exchanges = 3.0});
    std::vector<double> mean{started()};
    average_(group, std::span<double>(mean));
    EXPECT_GE(mean[0], group.size() > 1 ? 15.0 : 0.0) << "on average over the ranks";
    expect_throw<Error>([&] { counting.worker.finish({.exchanges = -1.0}); }, {"-1", "exchanges"});
    counting.worker.leave();
  });
}

TEST_P(PairWorkerTest, AStateThatIsPutBackContinues) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    const topology::Graph graph = topology::ring(group.size());
    Counting counting(
        group, std::make_shared<algorithm::A2CiD2>(algorithm::a2cid2_constants(graph)), graph);
    for (int step = 0; step < 20; ++step) {
      counting.worker.finish();
      counting.worker.prepare();
    }
    counting.worker.leave();
    const std::vector<StateVector> state = counting.worker.state();
    EXPECT_EQ(state.size(), 1U);
    const std::span<double> momentum = state.front().vector.as<double>();
    const auto sum_of_both = [&] {
      return transport::mean_of(group, 2.0 * counting.model()[2] + momentum[2]);
    };
    const double before = sum_of_both();
    const std::vector<double> saved(momentum.begin(), momentum.end());
    std::ranges::copy(saved, momentum.begin());
    counting.worker.set_position({.step = 20});
    counting.worker.come_back();
    counting.worker.prepare();
    for (int step = 0; step < 10; ++step) {
      counting.worker.finish();
      counting.worker.prepare();
    }
    counting.worker.leave();

    EXPECT_NEAR(sum_of_both(), before + 20.0, 1e-10);
    EXPECT_EQ(counting.worker.position().step, 30);
  });
}

TEST_P(PairWorkerTest, BetweenHostsOneEndOfAnEdgeAsks) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() != 2) return;
    Counting counting(group, std::make_shared<algorithm::ADPSGD>(), topology::ring(group.size()));
    for (int step = 0; step < 20; ++step) {
      counting.worker.finish();
      counting.worker.prepare();
    }
    counting.worker.leave();

    const bool is_near = group.shares_memory_with(1 - group.rank());
    EXPECT_EQ(counting.worker.counters().gossip_rounds > 0, is_near || group.rank() == 0);
  });
}

TEST_P(PairWorkerTest, GraphsWithoutMutualEdgesAreRefusedOnAllRanks) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() < 3) return;
    expect_throw<Error>(
        [&] {
          Counting(group, std::make_shared<algorithm::ADPSGD>(),
                   topology::directed_ring(group.size()));
        },
        {"not an undirected graph"});
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, PairWorkerTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::engine
