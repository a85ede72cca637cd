// SPDX-License-Identifier: Apache-2.0
// Pair events on every kind of group: see transport/on_ranks.h.
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <string_view>
#include <thread>

#include <libgossip/algorithm/a2cid2.h>
#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/algorithm/dadao.h>
#include <libgossip/base/deadline.h>
#include <libgossip/base/random.h>
#include <libgossip/engine/pairs/pair_exchange.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using policy::OnLostNeighbor;
using test::on_ranks;
using test::start_value;
using transport::Group;

constexpr std::chrono::seconds kLong{30};
constexpr std::size_t kChunkOfDoubles = transport::SharedChunks::kChunkBytes / sizeof(double);

std::vector<Rank> all_others(const Group& group) {
  std::vector<Rank> others;
  for (Rank rank = 0; rank < group.size(); ++rank) {
    if (rank != group.rank()) others.push_back(rank);
  }
  return others;
}

PairExchangeOptions options_for(const Group& group, std::vector<Rank> peers) {
  return {.peers = std::move(peers),
          .elapsed = std::vector<double>(static_cast<std::size_t>(group.size()), 1.0),
          .timeout = kLong};
}

std::vector<VectorView> doubles(std::size_t size) { return {{Dtype::kFloat64, nullptr, size}}; }

void fill(PairExchange& exchange, Rank rank) {
  std::size_t v = 0;
  for (const VectorView& vector : exchange.model()) {
    visit(vector, [&]<class T>(std::span<T> values) {
      for (std::size_t k = 0; k < values.size(); ++k)
        values[k] = static_cast<T>(start_value(rank, v, k));
    });
    ++v;
  }
}

void finish(PairExchange& exchange, Rank peer) {
  ASSERT_TRUE(wait_until(Deadline(kLong), [&] { return !exchange.is_pending(peer); }));
}

/// Of this rank's vector, in double precision.
double sum_of(const VectorView& vector) {
  return visit(vector, [](auto values) {
    double sum = 0.0;
    for (const auto value : values) sum += static_cast<double>(value);
    return sum;
  });
}

class PairExchangeTest : public testing::TestWithParam<int> {};

TEST_P(PairExchangeTest, BothRanksOfAnEventTakeTheirAverage) {
  on_ranks(GetParam(), [](Group& group) {
    const std::size_t size = 2 * kChunkOfDoubles + 3;
    const Rank rank = group.rank();
    const Rank peer = rank ^ 1;
    const bool has_peer = peer < group.size();
    PairExchange exchange(group, std::make_shared<algorithm::ADPSGD>(), doubles(size),
                          options_for(group, has_peer ? std::vector{peer} : std::vector<Rank>{}));
    fill(exchange, rank);
    group.barrier();
    exchange.close();

    if (has_peer && rank < peer) {
      EXPECT_TRUE(exchange.request(peer));
      finish(exchange, peer);
    }
    exchange.drain();

    const std::span<double> model = exchange.model()[0].as<double>();
    for (std::size_t k = 0; k < size; ++k) {
      const double own = start_value(rank, 0, k);
      const double average = has_peer ? 0.5 * (own + start_value(peer, 0, k)) : own;
      ASSERT_NEAR(model[k], average, 1e-14) << k;
    }
    if (has_peer && rank < peer) {
      EXPECT_EQ(exchange.counters().bytes_averaged, size * sizeof(double));
    }
  });
}

TEST_P(PairExchangeTest, PairsThatMeetTakeTheirAverage) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank rank = group.rank();
    const Rank peer = rank ^ 1;
    const std::size_t size = kChunkOfDoubles + 5;
    PairExchange exchange(group, std::make_shared<algorithm::ADPSGD>(), doubles(size),
                          options_for(group, {}));
    fill(exchange, rank);
    if (peer >= group.size() || !group.shares_memory_with(peer)) return;

    for (int meeting = 0; meeting < 3; ++meeting) exchange.average_with(peer);

    const std::span<double> model = exchange.model()[0].as<double>();
    for (std::size_t k = 0; k < size; ++k) {
      ASSERT_NEAR(model[k], 0.5 * (start_value(rank, 0, k) + start_value(peer, 0, k)), 1e-14) << k;
    }
  });
}

TEST_P(PairExchangeTest, TheModelStaysUntilItsOwnerTakesTheEventsIn) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank rank = group.rank();
    const Rank peer = rank ^ 1;
    if (group.size() % 2 == 1) return;
    PairExchange exchange(group, std::make_shared<algorithm::ADPSGD>(), doubles(100),
                          options_for(group, {peer}));
    fill(exchange, rank);
    group.barrier();
    exchange.close();

    if (rank < peer) {
      EXPECT_TRUE(exchange.request(peer));
      finish(exchange, peer);
    }
    group.barrier();

    const std::span<double> model = exchange.model()[0].as<double>();
    for (std::size_t k = 0; k < 100; ++k) ASSERT_EQ(model[k], start_value(rank, 0, k));
    exchange.open();
    for (double& value : model) value += 1.0;  // a local update
    exchange.close();
    for (std::size_t k = 0; k < 100; ++k) {
      ASSERT_NEAR(model[k], 1.0 + 0.5 * (start_value(rank, 0, k) + start_value(peer, 0, k)), 1e-14);
    }
    exchange.drain();
  });
}

/// Sums over the ranks, per element and over all vectors of the state, before and after many events
/// with local updates between them.
template <class MakeAlgorithm>
void check_conservation(Group& group, MakeAlgorithm make_algorithm, int steps) {
  const auto graph = topology::ring(group.size());
  const auto algorithm = make_algorithm(graph);
  const std::vector<Rank> peers = graph.out_neighbors(group.rank());
  const std::size_t size = kChunkOfDoubles + 17;
  PairExchange exchange(group, algorithm, doubles(size), options_for(group, peers));
  fill(exchange, group.rank());
  const auto total = [&] {
    // All vectors of a state start as the model: the sum over them counts it once for each.
    const int vectors = algorithm->num_vectors();
    double sum = vectors * sum_of(exchange.model()[0]);
    for (int v = 1; v < vectors; ++v) sum += sum_of(exchange.state(v)[0]);
    return transport::mean_of(group, sum);
  };
  const double before = total();
  exchange.close();
  auto random = SplitMix64::at(3, static_cast<std::uint64_t>(group.rank()));
  double added = 0.0;
  for (int step = 0; step < steps; ++step) {
    for (const Rank peer : peers) static_cast<void>(exchange.request(peer));
    if (random.below(4) == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
    exchange.open();
    const double increment = random.unit() - 0.5;
    for (double& value : exchange.model()[0].as<double>()) value += increment;
    added += increment * static_cast<double>(size);
    exchange.close();
  }
  exchange.drain();
  const double expected = before + algorithm->num_vectors() * transport::mean_of(group, added);
  EXPECT_NEAR(total(), expected, 1e-12 * static_cast<double>(size) * 100);
}

TEST_P(PairExchangeTest, ADPSGDConservesTheSum) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    check_conservation(
        group, [](const auto&) { return std::make_shared<algorithm::ADPSGD>(); }, 60);
  });
}

TEST_P(PairExchangeTest, A2CiD2ConservesTheSumOfBothVectors) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    check_conservation(
        group,
        [](const topology::Graph& graph) {
          return std::make_shared<algorithm::A2CiD2>(algorithm::a2cid2_constants(graph));
        },
        60);
  });
}

TEST_P(PairExchangeTest, AveragesToTheMean) {
  on_ranks(GetParam(), [](Group& group) {
    const std::vector<Rank> peers = all_others(group);
    PairExchange exchange(group, std::make_shared<algorithm::ADPSGD>(), doubles(64),
                          options_for(group, peers));
    fill(exchange, group.rank());
    exchange.close();
    for (int event = 0; event < 40; ++event) {
      for (const Rank peer : peers) {
        if (peer < group.rank()) continue;  // one rank of each pair asks
        static_cast<void>(exchange.request(peer));
        finish(exchange, peer);
      }
    }
    exchange.drain();

    for (std::size_t k = 0; k < 64; ++k) {
      double mean = 0.0;
      for (Rank rank = 0; rank < group.size(); ++rank) mean += start_value(rank, 0, k);
      ASSERT_NEAR(exchange.model()[0].as<double>()[k], mean / group.size(), 1e-9) << k;
    }
  });
}

/// A rank that only waits for a core is not lost.
constexpr std::chrono::milliseconds kPatient{3000};

/// Rank 0 keeps its exchange open, so nobody gets an answer from it.
PairExchangeOptions options_with_silent_rank(const Group& group, OnLostNeighbor on_lost,
                                             std::chrono::milliseconds timeout) {
  PairExchangeOptions options = options_for(group, all_others(group));
  options.timeout = timeout;
  options.on_lost_neighbor = on_lost;
  return options;
}

TEST_P(PairExchangeTest, ASilentNeighborIsAnErrorThatNamesIt) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    PairExchange exchange(
        group, std::make_shared<algorithm::ADPSGD>(), doubles(10),
        options_with_silent_rank(group, OnLostNeighbor::kError, std::chrono::milliseconds(200)));
    fill(exchange, group.rank());
    if (group.rank() != 0) {
      exchange.close();
      EXPECT_TRUE(exchange.request(0));
      const auto has_failed = [&] {
        try {
          exchange.open();
        } catch (const TimeoutError& error) {
          EXPECT_EQ(error.peer(), 0);
          return true;
        }
        exchange.close();
        return false;
      };
      EXPECT_TRUE(wait_until(Deadline(kLong), has_failed));
    }
    group.barrier();
  });
}

TEST_P(PairExchangeTest, ASilentNeighborMayBeDropped) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() != 3) return;  // two that are there, so few that each gets a core in time
    PairExchange exchange(group, std::make_shared<algorithm::ADPSGD>(), doubles(10),
                          options_with_silent_rank(group, OnLostNeighbor::kDrop, kPatient));
    fill(exchange, group.rank());
    const double before = transport::mean_of(group, sum_of(exchange.model()[0]));
    if (group.rank() != 0) {
      exchange.close();
      EXPECT_TRUE(exchange.request(0));
      EXPECT_TRUE(wait_until(Deadline(kLong), [&] { return exchange.membership().is_lost(0); }));
      EXPECT_FALSE(exchange.request(0));
      const Rank next = group.rank() == group.size() - 1 ? 1 : group.rank() + 1;
      if (next != group.rank()) {
        EXPECT_TRUE(exchange.request(next));
        finish(exchange, next);
        EXPECT_FALSE(exchange.membership().is_lost(next));
      }
      EXPECT_EQ(exchange.counters().neighbors_lost, 1);
    }
    group.barrier();
    if (group.rank() == 0) exchange.close();
    // Answers that come late still count.
    const auto has_lost_nothing = [&] { return std::abs(exchange.counters().mass_lost) < 1e-9; };
    EXPECT_TRUE(wait_until(Deadline(kLong), has_lost_nothing));
    group.barrier();
    exchange.drain();
    EXPECT_NEAR(transport::mean_of(group, sum_of(exchange.model()[0])), before, 1e-12);
  });
}

/// All six vectors of a rank at the start.
std::vector<std::vector<double>> six_vectors(Rank rank, std::size_t size) {
  std::vector<std::vector<double>> state(6);
  for (std::size_t v = 0; v < 6; ++v) {
    for (std::size_t k = 0; k < size; ++k) state[v].push_back(start_value(rank, v, k));
  }
  return state;
}

std::vector<VectorView> views_of(std::vector<std::vector<double>>& state) {
  std::vector<VectorView> views;
  for (std::vector<double>& vector : state) views.emplace_back(std::span(vector));
  return views;
}

TEST_P(PairExchangeTest, AnEventFlowsBothRanksByTheirTimesAndMovesThem) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    const Rank rank = group.rank();
    const std::size_t size = kChunkOfDoubles + 3;
    const auto method = std::make_shared<algorithm::DADAO>(
        algorithm::dadao_constants(1.0, 10.0, topology::complete(2)));
    PairExchangeOptions options =
        options_for(group, rank < 2 ? std::vector{1 - rank} : std::vector<Rank>{});
    options.elapsed[0] = 0.75;
    options.elapsed[1] = 0.25;
    PairExchange exchange(group, method, doubles(size), options);
    std::vector<std::vector<double>> states[2] = {six_vectors(0, size), six_vectors(1, size)};
    if (rank < 2) {
      for (int v = 0; v < 6; ++v) {
        const VectorView vector = v == 0 ? exchange.model()[0] : exchange.state(v)[0];
        std::ranges::copy(states[rank][static_cast<std::size_t>(v)], vector.as<double>().begin());
      }
    }
    exchange.close();
    group.barrier();

    if (rank == 0) {
      exchange.enqueue(1);
      EXPECT_TRUE(wait_until(Deadline(kLong), [&] { return !exchange.is_pending(1); }));
    }
    group.barrier();
    exchange.drain();

    std::vector<double> payloads[2] = {std::vector<double>(size), std::vector<double>(size)};
    for (const std::size_t r : {0U, 1U}) {
      method->flow(views_of(states[r]), options.elapsed[r]);
      method->write_payload(views_of(states[r]), std::span(payloads[r]));
    }
    for (std::size_t k = 0; k < size; ++k) payloads[0][k] -= payloads[1][k];
    method->jump(views_of(states[0]), std::span(payloads[0]), 1.0);
    method->jump(views_of(states[1]), std::span(payloads[0]), -1.0);
    for (int v = 0; rank < 2 && v < 6; ++v) {
      const VectorView vector = v == 0 ? exchange.model()[0] : exchange.state(v)[0];
      const std::vector<double>& expected = states[rank][static_cast<std::size_t>(v)];
      for (std::size_t k = 0; k < size; ++k) {
        ASSERT_NEAR(vector.as<double>()[k], expected[k], 1e-12 * (1.0 + std::abs(expected[k])))
            << v << " " << k;
      }
    }
  });
}

TEST_P(PairExchangeTest, AChunkThatWaitsForItsAnswerTakesPartInNoOtherEvent) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank rank = group.rank();
    const bool is_near = rank == 0 && group.size() > 2 && group.shares_memory_with(2);
    if (group.size() < 3 || transport::mean_of(group, is_near ? 1.0 : 0.0) > 0.0) return;
    PairExchangeOptions options = options_for(group, rank == 0  ? std::vector{1, 2}
                                                     : rank < 3 ? std::vector{0}
                                                                : std::vector<Rank>{});
    options.is_atomic = true;
    PairExchange exchange(group, std::make_shared<algorithm::ADPSGD>(), doubles(10), options);
    const auto is_done = [&](Rank peer) {
      return wait_until(Deadline(kLong), [&] { return !exchange.is_pending(peer); });
    };
    if (rank != 2) exchange.close();  // rank 2 does not answer

    if (rank == 0) {
      exchange.enqueue(2);
      EXPECT_TRUE(wait_until(Deadline(kLong), [&] { return exchange.counters().bytes_sent > 0; }));
    }
    group.barrier();
    if (rank == 1) {
      exchange.enqueue(0);
      const Deadline deadline(std::chrono::milliseconds(100));
      EXPECT_FALSE(wait_until(deadline, [&] { return !exchange.is_pending(0); }));
    }
    group.barrier();
    if (rank == 2) exchange.close();

    if (rank < 2) {
      EXPECT_TRUE(is_done(rank == 0 ? 2 : 0));
    }
    group.barrier();
    exchange.drain();
  });
}

TEST_P(PairExchangeTest, EventsWithARankThatHasLeftDoNotCount) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    const Rank rank = group.rank();
    const std::vector<Rank> peers = rank < 2 ? std::vector{1 - rank} : std::vector<Rank>{};
    const auto method = std::make_shared<algorithm::DADAO>(
        algorithm::dadao_constants(1.0, 10.0, topology::complete(2)));
    PairExchange exchange(group, method, doubles(kChunkOfDoubles + 3), options_for(group, peers));
    const auto have_one = [&] {
      exchange.enqueue(1);
      EXPECT_TRUE(wait_until(Deadline(kLong), [&] { return !exchange.is_pending(1); }));
    };
    exchange.close();
    group.barrier();

    if (rank == 0) {
      have_one();
      EXPECT_EQ(exchange.events_with(1), 1);
      EXPECT_FALSE(exchange.has_met_paused());
    }
    group.barrier();
    // Rank 1 leaves; rank 0 finds out.
    if (rank == 0) {
      const Deadline deadline(kLong);
      while (!exchange.has_met_paused() && !deadline.has_passed()) have_one();
      EXPECT_TRUE(exchange.has_met_paused());
      const std::int64_t events = exchange.events_with(1);
      const std::int64_t skipped = exchange.counters().skipped;
      const std::uint64_t bytes = exchange.counters().bytes_averaged;
      have_one();
      EXPECT_EQ(exchange.events_with(1), events);
      EXPECT_EQ(exchange.counters().skipped, skipped + 1);
      EXPECT_EQ(exchange.counters().bytes_averaged, bytes);
    }
    exchange.drain();

    EXPECT_FALSE(exchange.has_met_paused());
    exchange.close();
    group.barrier();
    if (rank == 0) {
      const std::int64_t events = exchange.events_with(1);
      have_one();
      EXPECT_EQ(exchange.events_with(1), events + 1);
    }
    group.barrier();
    exchange.drain();
  });
}

/// An event whose second, small chunk takes until it is released.
class Holding final : public algorithm::PairAlgorithm {
 public:
  [[nodiscard]] std::string_view name() const override { return "holding"; }
  [[nodiscard]] int num_vectors() const override { return 1; }
  void flow(algorithm::State state, double /*elapsed*/) const override {
    is_holding = state[0].size == 1;
    while (is_holding && !is_released) std::this_thread::yield();
  }
  void jump(algorithm::State, const VectorView&, double) const override {}

  mutable std::atomic<bool> is_holding{false};
  std::atomic<bool> is_released{false};
};

TEST_P(PairExchangeTest, WhatCannotBeOpenedWholeIsClosed) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank rank = group.rank();
    const bool is_near = rank == 0 && group.size() > 1 && group.shares_memory_with(1);
    if (transport::mean_of(group, is_near ? 1.0 : 0.0) == 0.0) return;
    const auto method = std::make_shared<Holding>();
    PairExchangeOptions options =
        options_for(group, rank < 2 ? std::vector{1 - rank} : std::vector<Rank>{});
    options.timeout = std::chrono::milliseconds(200);
    PairExchange exchange(group, method, doubles(kChunkOfDoubles + 1), options);
    exchange.close();
    group.barrier();
    if (rank == 0) {
      EXPECT_TRUE(exchange.request(1));
      EXPECT_TRUE(wait_until(Deadline(kLong), [&] { return method->is_holding.load(); }));
      test::expect_throw<TimeoutError>([&] { exchange.open(); }, {"for chunk 1 of its model"});
      method->is_released = true;
      finish(exchange, 1);
      exchange.open();
      exchange.close();
    }
    group.barrier();
  });
}

TEST_P(PairExchangeTest, RanksThatAreNoPeersAreRefusedByName) {
  on_ranks(GetParam(), [](Group& group) {
    PairExchange exchange(group, std::make_shared<algorithm::ADPSGD>(), doubles(1),
                          options_for(group, {}));
    test::expect_throw<Error>([&] { exchange.request(7); }, {"rank 7"});
    group.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, PairExchangeTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::engine
