// SPDX-License-Identifier: Apache-2.0
// Push-sum in rounds and without, on every kind of group: see transport/on_ranks.h.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <thread>

#include <libgossip/algorithm/push_sum_sgd.h>
#include <libgossip/base/random.h>
#include <libgossip/engine/one_way/overlap_worker.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/topology/directed.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::expect_throw;
using test::on_ranks;
using test::start_value;
using transport::Group;

const OverlapWorkerOptions kOptions{.timeout = std::chrono::seconds(30)};

/// Column stochastic at no rank when split by its rows: a directed ring with two shortcuts.
topology::Graph uneven(int size) {
  std::vector<topology::Arc> arcs;
  for (Rank rank = 0; rank < size && size > 1; ++rank) arcs.push_back({rank, (rank + 1) % size});
  for (const Rank to : {2, 3}) {
    if (to < size) arcs.push_back({0, to});
  }
  return topology::Graph::directed(size, arcs, "uneven");
}

std::vector<double> start(Rank rank, std::size_t size) {
  std::vector<double> values(size);
  for (std::size_t k = 0; k < size; ++k) values[k] = start_value(rank, 0, k);
  return values;
}

StagedWorker in_rounds(Group& group, const topology::Schedule& schedule, ModelPort& port) {
  return {group,
          std::make_shared<algorithm::PushSumSGD>(),
          {topology::with_row_weights(schedule), topology::with_column_weights(schedule)},
          port,
          {.timeout = std::chrono::seconds(30)}};
}

double mean_start(int size, std::size_t k) {
  double sum = 0.0;
  for (Rank rank = 0; rank < size; ++rank) sum += start_value(rank, 0, k);
  return sum / size;
}

/// Element `k` of this rank's numerator, without rounds and while nothing arrives.
double numerator(Worker& worker, const std::vector<double>& model, std::size_t k) {
  return worker.position().weight * model[k] + worker.state()[0].vector.as<double>()[k];
}

class PushSumTest : public testing::TestWithParam<int> {};

TEST_P(PushSumTest, RoundsOnADirectedGraphAverage) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own = start(group.rank(), 3);
    std::vector<float> single(5, static_cast<float>(group.rank()));
    PlainPort port({std::span<double>(own), std::span<float>(single)});
    StagedWorker worker = in_rounds(group, uneven(group.size()), port);

    for (int step = 0; step < 300; ++step) worker.finish();

    for (std::size_t k = 0; k < own.size(); ++k) {
      EXPECT_NEAR(own[k], mean_start(group.size(), k), 1e-10);
    }
    EXPECT_NEAR(single[4], 0.5 * (group.size() - 1), 1e-5);
    const double weight = worker.position().weight;
    EXPECT_NEAR(transport::mean_of(group, weight), 1.0, 1e-12);
    // The shortcuts take more from rank 0's neighbors than they give to the last ones.
    const double unevenness = transport::mean_of(group, std::abs(weight - 1.0));
    if (group.size() > 2) {
      EXPECT_GT(unevenness, 0.01);
    }
    EXPECT_EQ(worker.counters().gossip_rounds, 300);
    EXPECT_EQ(worker.counters().ages.quantile(1.0), 0);
  });
}

/// Also where weights differ: what a local update adds to z it adds to u.
TEST_P(PushSumTest, RoundsKeepTheSumsOfNumeratorsAndWeights) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own = start(group.rank(), 2);
    std::vector<float> single(3, static_cast<float>(group.rank()));
    PlainPort port({std::span<double>(own), std::span<float>(single)}, {}, [&] { own[1] += 0.5; });
    StagedWorker worker = in_rounds(group, uneven(group.size()), port);

    for (int step = 1; step <= 50; ++step) {
      worker.finish({.communicates = step % 5 != 0});
      const double weight = worker.position().weight;
      EXPECT_NEAR(transport::mean_of(group, weight), 1.0, 1e-12);
      EXPECT_NEAR(transport::mean_of(group, weight * own[0]), mean_start(group.size(), 0), 1e-12);
      EXPECT_NEAR(transport::mean_of(group, weight * own[1]),
                  mean_start(group.size(), 1) + 0.5 * step, 1e-10);
      EXPECT_NEAR(transport::mean_of(group, weight * single[2]), 0.5 * (group.size() - 1), 1e-4);
      EXPECT_NEAR(worker.state()[0].vector.as<double>()[0], weight * own[0], 1e-12);
    }
    EXPECT_EQ(worker.position().round, 40);
    EXPECT_EQ(worker.state()[0].name, "numerator_0");
  });
}

TEST_P(PushSumTest, AStateThatIsPutBackContinuesAsTheFirstRun) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own = start(group.rank(), 4);
    std::vector<double> model;
    std::vector<double> numerator;
    Position position;
    PlainPort port({std::span<double>(own)}, {}, [&] { own[0] += 0.25; });
    StagedWorker worker = in_rounds(group, uneven(group.size()), port);
    for (int step = 0; step < 7; ++step) worker.finish();
    const auto state = worker.state()[0].vector.as<double>();
    model = own;
    numerator.assign(state.begin(), state.end());
    position = worker.position();
    for (int step = 0; step < 6; ++step) worker.finish();
    const std::vector<double> first = own;

    own = model;
    std::ranges::copy(numerator, state.begin());
    worker.set_position(position);
    for (int step = 0; step < 6; ++step) worker.finish();

    EXPECT_EQ(own, first);
    EXPECT_EQ(worker.position().step, 13);
    EXPECT_EQ(worker.position().round, 13);
  });
}

TEST_P(PushSumTest, StepsWithoutCommunicationUseNoRound) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own = start(group.rank(), 2);
    PlainPort port({std::span<double>(own)}, {}, [&] { own[1] += 1.0; });
    StagedWorker worker = in_rounds(group, uneven(group.size()), port);

    worker.finish({.communicates = false});

    EXPECT_EQ(own[0], start_value(group.rank(), 0, 0));
    EXPECT_EQ(own[1], start_value(group.rank(), 0, 1) + 1.0);
    EXPECT_EQ(worker.position().step, 1);
    EXPECT_EQ(worker.position().round, 0);
  });
}

TEST_P(PushSumTest, ARoundThatFailsLeavesTheModelAsTheLocalUpdateMadeIt) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    std::vector<double> own = start(group.rank(), 4);
    PlainPort port({std::span<double>(own)}, {}, [&] { own[0] += 0.25; });
    StagedWorker worker = in_rounds(group, topology::complete(group.size()), port);
    if (group.rank() == group.size() - 1) {
      worker.leave();
    } else {
      expect_throw<Error>([&] { worker.finish(); }, {"left the training loop"});
      EXPECT_EQ(worker.position().step, 0);
      std::vector<double> expected = start(group.rank(), 4);
      expected[0] += 0.25;
      EXPECT_EQ(own, expected);
    }
    group.barrier();
  });
}

TEST_P(PushSumTest, ATopologyOfAnotherSizeIsRefusedOnAllRanks) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own{1.0};
    const topology::Graph ring = topology::ring(group.size() + 1);
    PlainPort port({std::span<double>(own)});
    expect_throw<Error>([&] { in_rounds(group, ring, port); }, {"is made for"});
    expect_throw<Error>([&] { OverlapWorker(group, ring, port, kOptions); }, {"is made for"});
  });
}

/// Many steps at random paces: then the sums are what they were, plus the ranks' own updates.
void check_conservation(Group& group, const topology::Schedule& schedule, int steps) {
  const std::size_t size = 5;
  std::vector<double> own = start(group.rank(), size);
  auto random = SplitMix64::at(11, static_cast<std::uint64_t>(group.rank()));
  PlainPort port({std::span<double>(own)}, {}, [&] { own[0] += random.unit() - 0.5; });
  OverlapWorker worker(group, schedule, port, kOptions);

  for (int part = 0; part < 2; ++part) {  // the second after a pause
    for (int step = 0; step < steps; ++step) {
      worker.finish();
      if (random.below(200) == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    worker.leave();

    EXPECT_NEAR(transport::mean_of(group, worker.position().weight), 1.0, 1e-12);
    for (std::size_t k = 0; k < size; ++k) {
      if (k == 0) continue;  // which the local updates move
      EXPECT_NEAR(transport::mean_of(group, numerator(worker, own, k)), mean_start(group.size(), k),
                  1e-12)
          << k;
    }
    const double total_sent =
        transport::mean_of(group, static_cast<double>(worker.counters().bytes_sent));
    const double total_averaged =
        transport::mean_of(group, static_cast<double>(worker.counters().bytes_averaged));
    EXPECT_EQ(total_sent, total_averaged);
    worker.come_back();
  }
  EXPECT_EQ(worker.position().step, 2 * steps);
}

TEST_P(PushSumTest, NothingIsLostWithoutRounds) {
  on_ranks(GetParam(), [](Group& group) {
    check_conservation(group, uneven(group.size()), 50'000 / group.size());
    check_conservation(group, topology::one_peer_exponential(group.size()), 2000);
  });
}

TEST_P(PushSumTest, WithoutRoundsRanksOfDifferentPacesAgree) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own = start(group.rank(), 2);
    PlainPort port({std::span<double>(own)});
    OverlapWorker worker(group, topology::ring(group.size()), port, kOptions);

    // In parts, of which some suffice when the ranks have a core at the same time.
    const int steps = 100 * (group.rank() + 1);
    int parts = 0;
    double largest_error = 1.0;
    while (largest_error > 1e-3 && parts < 100) {
      for (int step = 0; step < steps; ++step) {
        worker.finish();
        std::this_thread::sleep_for(std::chrono::microseconds(300));
      }
      worker.leave();
      ++parts;

      // The weights tell how much each model counts.
      const double mean = transport::mean_of(group, worker.position().weight * own[0]);
      EXPECT_NEAR(mean, mean_start(group.size(), 0), 1e-12);
      EXPECT_EQ(worker.position().step, parts * steps);
      largest_error = 0.0;
      for (Rank rank = 0; rank < group.size(); ++rank) {
        const double error = group.rank() == rank ? std::abs(own[0] - mean) : 0.0;
        largest_error = std::max(largest_error, group.size() * transport::mean_of(group, error));
      }
      worker.come_back();
    }

    EXPECT_LE(largest_error, 1e-3);
  });
}

TEST_P(PushSumTest, ARankThatIsDoneServesTheOthers) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own = start(group.rank(), 2);
    PlainPort port({std::span<double>(own)});
    OverlapWorker worker(group, topology::complete(group.size()), port, kOptions);

    // Rank 0 alone makes steps, and yet all that it sends is taken: it goes on until they agree.
    if (group.rank() == 0) {
      const auto is_near = [&] {
        worker.finish();
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        return std::abs(own[0] - mean_start(group.size(), 0)) < 1e-2;
      };
      EXPECT_TRUE(wait_until(Deadline(std::chrono::seconds(25)), is_near)) << own[0];
    }
    worker.leave();

    EXPECT_NEAR(transport::mean_of(group, worker.position().weight), 1.0, 1e-12);
    worker.come_back();
  });
}

TEST_P(PushSumTest, TheJobsStepsBecomeKnown) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own{1.0};
    PlainPort port({std::span<double>(own)});
    OverlapWorker worker(group, topology::directed_ring(group.size()), port, kOptions);

    for (int step = 0; step <= group.rank(); ++step) worker.finish();

    const int total = group.size() * (group.size() + 1) / 2;
    EXPECT_TRUE(wait_until(Deadline(std::chrono::seconds(20)), [&] {
      return worker.job_steps() == total;
    })) << worker.job_steps();
    EXPECT_LE(worker.job_steps(), total);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, PushSumTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::engine
