// SPDX-License-Identifier: Apache-2.0
// DADAO between real ranks, on every kind of group: see transport/on_ranks.h.
#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <thread>
#include <vector>

#include <libgossip/algorithm/dadao.h>
#include <libgossip/base/random.h>
#include <libgossip/engine/pairs/pair_worker.h>
#include <libgossip/engine/plain_port.h>

#include "engine/engine_test_support.h"
#include "sim/sim_test_support.h"

namespace gossip::engine {
namespace {

using test::on_ranks;
using transport::Group;

constexpr std::size_t kSize = 4;
constexpr double kMu = 1.0;
constexpr double kL = 10.0;

/// A rank that minimizes its quadratic with the others.
class Quadratic {
 public:
  Quadratic(Group& group, const topology::Graph& graph, double safety = 2.0)
      : rank_(group.rank()),
        problem_(group.size(), kSize, kMu, kL),
        method_(
            std::make_shared<algorithm::DADAO>(algorithm::dadao_constants(kMu, kL, graph, safety))),
        worker_(group, method_, graph, port_,
                {.exchanges_per_step =
                     group.size() > 1 ? method_->constants().rate / group.size() : 1.0,
                 .is_paced = true,
                 .seed = 3,
                 .timeout = std::chrono::seconds(60)}) {
    worker_.prepare();
  }

  void run(int steps, bool communicate = true) {
    for (int i = 0; i < steps; ++i) {
      problem_.gradient_step(rank_, model(), -1.0, gradient_);
      worker_.finish({.communicates = communicate});
      worker_.prepare({.communicates = communicate});
      least_error_ = std::min(least_error_, error());
    }
  }

  /// Answers come late from now on.
  void be_late() { is_late_ = true; }

  [[nodiscard]] std::span<double> model() { return worker_.model_memory()[0].as<double>(); }
  [[nodiscard]] PairWorker& worker() { return worker_; }
  [[nodiscard]] const algorithm::DADAOConstants& constants() const { return method_->constants(); }

  /// The least one so far: while ranks end, one after the other, time stands still, but steps go
  /// on.
  [[nodiscard]] double least_error() const { return least_error_; }

  /// Of this rank, relative to that of 0.
  [[nodiscard]] double error() {
    return problem_.error_of(model()) / problem_.error_of(std::vector<double>(kSize, 0.0));
  }

 private:
  /// While a rank is in here, who has asked it waits for the answer.
  void step() {
    method_->local_step(worker_.local_state(0), std::span<double>(gradient_));
    if (is_late_) std::this_thread::sleep_for(std::chrono::microseconds(random_.below(500)));
  }

  Rank rank_;
  test::Quadratics problem_;
  double least_error_ = 1.0;
  bool is_late_ = false;
  SplitMix64 random_{7};
  std::vector<double> gradient_ = std::vector<double>(kSize);
  std::shared_ptr<algorithm::DADAO> method_;
  PlainPort port_{{VectorView(Dtype::kFloat64, nullptr, kSize)}, {}, [this] { step(); }};
  PairWorker worker_;
};

class DADAOTest : public testing::TestWithParam<int> {};

TEST_P(DADAOTest, ComesToTheOptimumOfAllRanks) {
  on_ranks(GetParam(), [](Group& group) {
    for (const topology::Graph& graph :
         {topology::ring(group.size()), topology::star(group.size())}) {
      Quadratic quadratic(group, graph);

      // A rank with fast neighbors ends early, and then the others wait for it: on a busy machine
      // parts have few events.
      for (int part = 0; part < 100; ++part) {
        quadratic.run(100);
        quadratic.worker().leave();
        if (transport::mean_of(group, quadratic.least_error()) < 1e-9) break;
        quadratic.worker().prepare();
      }

      EXPECT_LT(quadratic.least_error(), 1e-8) << graph.name();
    }
  });
}

TEST_P(DADAOTest, KeepsTheWeightedSumOfZ) {
  on_ranks(GetParam(), [](Group& group) {
    Quadratic quadratic(group, topology::path(group.size()));
    const algorithm::DADAOConstants& c = quadratic.constants();
    quadratic.be_late();
    for (int round = 0; round < 3; ++round) {
      quadratic.run(20 + 5 * group.rank());
      quadratic.worker().leave();
      const std::vector<VectorView> state = quadratic.worker().local_state(0);
      for (std::size_t k = 0; k < kSize; ++k) {
        EXPECT_NEAR(transport::mean_of(group, c.alpha_tilde * state[4].as<double>()[k] +
                                                  c.alpha * state[5].as<double>()[k]),
                    0.0, 1e-13)
            << k;
      }
      quadratic.worker().prepare();
    }
    quadratic.worker().leave();
  });
}

TEST_P(DADAOTest, NobodyTakesPartInMoreExchangesThanItsStepsBear) {
  on_ranks(GetParam(), [](Group& group) {
    Quadratic quadratic(group, topology::complete(group.size()));
    if (group.rank() == 0 && group.size() > 1) {
      // No step for as long as it takes the others to use up what they may.
      const Deadline deadline(std::chrono::milliseconds(300));
      static_cast<void>(wait_until(deadline, [] { return false; }));
      const double per_step = 2.0 * quadratic.constants().rate / group.size() / (group.size() - 1);
      for (Rank peer = 1; peer < group.size(); ++peer) {
        const auto events = static_cast<double>(quadratic.worker().exchange().events_with(peer));
        // Two that go on when the limit is reached, from either side.
        EXPECT_LE(events, std::ceil(2.0 * per_step) + 1.0 + 4.0) << peer;
      }
    }

    quadratic.run(30);
    quadratic.worker().leave();

    EXPECT_EQ(quadratic.worker().position().step, 30);
  });
}

/// Without gradients the distance of x and x~ tells the time: it falls like exp(-2 eta t).
TEST_P(DADAOTest, StepsHaveTheEventsOfTheRateAndTheseCountTheTime) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr int kSteps = 40;
    const topology::Graph graph = topology::ring(group.size());
    const auto method =
        std::make_shared<algorithm::DADAO>(algorithm::dadao_constants(kMu, kL, graph));
    const double rate = method->constants().rate;
    PlainPort port({VectorView(Dtype::kFloat64, nullptr, kSize)});
    PairWorker worker(group, method, graph, port,
                      {.exchanges_per_step = group.size() > 1 ? rate / group.size() : 1.0,
                       .is_paced = true,
                       .timeout = std::chrono::seconds(60)});
    worker.model_memory()[0].as<double>()[0] = 1.0;
    const auto all_are_here = group.make_largest(1);
    worker.prepare();

    const auto step = [&] {
      worker.finish();
      worker.prepare();
    };
    for (int i = 0; i < kSteps; ++i) step();
    // Who leaves stops the others' time, and who stands still may be what a slower one waits for.
    all_are_here->start(std::array{0.0});
    while (!all_are_here->test()) step();
    worker.leave();

    const std::vector<VectorView> state = worker.local_state(0);
    const double time = -std::log(state[0].as<double>()[0] - state[1].as<double>()[0]) /
                        (2.0 * method->constants().eta);
    if (group.size() == 1) {
      EXPECT_NEAR(time, static_cast<double>(worker.position().step), 1e-9);
      return;
    }
    const std::vector<Rank> peers = graph.out_neighbors(group.rank());
    const double per_edge = 2.0 * rate / static_cast<double>(graph.num_arcs());
    const double between = 1.0 / (per_edge * static_cast<double>(peers.size()));
    double events = 0.0;
    for (const Rank peer : peers) {
      const auto with_peer = static_cast<double>(worker.exchange().events_with(peer));
      EXPECT_GE(with_peer, kSteps * per_edge - 2.0) << peer;
      events += with_peer;
    }
    // Who has asked a rank that is leaving has moved on, for nothing.
    EXPECT_GE(time, events * between - 1e-9);
    EXPECT_LE(time, (events + 2.0 * static_cast<double>(peers.size())) * between + 1e-9);
  });
}

TEST_P(DADAOTest, StepsWithoutCommunicationLackTheirEvents) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    for (Rank rank = 0; rank < group.size(); ++rank) {
      if (rank != group.rank() && !group.shares_memory_with(rank)) {
        GTEST_SKIP() << "ranks of other hosts wait for events with one that stands in a barrier";
      }
    }
    Quadratic quadratic(group, topology::ring(group.size()));
    EXPECT_EQ(quadratic.worker().events_over_planned(), 1.0);
    quadratic.run(20);
    group.barrier();  // while all are in the loop
    const double before = quadratic.worker().events_over_planned();

    quadratic.run(60, false);
    group.barrier();
    quadratic.run(1);

    EXPECT_GT(before, 0.7);
    EXPECT_LT(quadratic.worker().events_over_planned(), 0.5 * before);
    group.barrier();
    quadratic.worker().leave();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, DADAOTest, testing::ValuesIn(test::engine_rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::engine
