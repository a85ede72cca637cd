// SPDX-License-Identifier: Apache-2.0
// DADAO between real ranks, on every kind of group: see transport/on_ranks.h.
#include <chrono>
#include <cmath>
#include <memory>
#include <vector>

#include <libgossip/algorithm/dadao.h>
#include <libgossip/engine/pair_worker.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::on_ranks;
using transport::Group;

constexpr std::size_t kSize = 4;
constexpr double kMu = 1.0;
constexpr double kL = 10.0;

/// QUAD(n, 4, mu, L) of the specification: its curvatures and centers.
double curvature(int size, Rank i, std::size_t k) {
  if (size == 1) return kL;
  return kMu + (kL - kMu) * ((5 * i + 3 * static_cast<int>(k)) % size) / (size - 1);
}
double center(Rank i, std::size_t k) { return std::cos(1.3 * i + 0.7 * static_cast<double>(k)); }

double optimum(int size, std::size_t k) {
  double weighted = 0.0;
  double sum = 0.0;
  for (Rank i = 0; i < size; ++i) {
    weighted += curvature(size, i, k) * center(i, k);
    sum += curvature(size, i, k);
  }
  return weighted / sum;
}

/// A rank that minimizes its quadratic with the others.
class Quadratic {
 public:
  Quadratic(Group& group, const topology::Graph& graph, double safety = 2.0)
      : group_(group),
        method_(
            std::make_shared<algorithm::DADAO>(algorithm::dadao_constants(kMu, kL, graph, safety))),
        worker_(group, method_, graph, {{Dtype::kFloat64, nullptr, kSize}}, [this] { step(); },
                {.exchanges_per_step = method_->constants().rate / group.size(),
                 .is_paced = true,
                 .seed = 3,
                 .timeout = std::chrono::seconds(60)}) {
    worker_.prepare();
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      for (std::size_t k = 0; k < kSize; ++k) {
        gradient_[k] =
            curvature(group_.size(), group_.rank(), k) * (model()[k] - center(group_.rank(), k));
      }
      worker_.finish();
      worker_.prepare();
      least_error_ = std::min(least_error_, error());
    }
  }

  [[nodiscard]] std::span<double> model() { return worker_.model_memory()[0].as<double>(); }
  [[nodiscard]] PairWorker& worker() { return worker_; }
  [[nodiscard]] const algorithm::DADAOConstants& constants() const { return method_->constants(); }

  /// The least one so far: while ranks end, one after the other, time stands still, but steps go on.
  [[nodiscard]] double least_error() const { return least_error_; }

  /// Of this rank, relative to that of 0.
  [[nodiscard]] double error() {
    double error = 0.0;
    double start = 0.0;
    for (std::size_t k = 0; k < kSize; ++k) {
      const double best = optimum(group_.size(), k);
      error += (model()[k] - best) * (model()[k] - best);
      start += best * best;
    }
    return error / start;
  }

 private:
  void step() { method_->local_step(worker_.local_state(0), std::span<double>(gradient_)); }

  Group& group_;
  double least_error_ = 1.0;
  std::vector<double> gradient_ = std::vector<double>(kSize);
  std::shared_ptr<algorithm::DADAO> method_;
  PairWorker worker_;
};

class DADAOTest : public testing::TestWithParam<int> {};

TEST_P(DADAOTest, ComesToTheOptimumOfAllRanks) {
  on_ranks(GetParam(), [](Group& group) {
    for (const topology::Graph& graph :
         {topology::ring(group.size()), topology::star(group.size())}) {
      Quadratic quadratic(group, graph);

      quadratic.run(700);
      quadratic.worker().leave();

      EXPECT_LT(quadratic.least_error(), 1e-8) << graph.name();
    }
  });
}

TEST_P(DADAOTest, KeepsTheWeightedSumOfZ) {
  on_ranks(GetParam(), [](Group& group) {
    Quadratic quadratic(group, topology::path(group.size()));
    const algorithm::DADAOConstants& c = quadratic.constants();
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
    const topology::Graph graph = topology::complete(group.size());
    Quadratic quadratic(group, graph);
    // Rank 0 makes no step for as long as it takes the others to fill its room.
    const double per_step = 2.0 * quadratic.constants().rate / group.size();
    std::int64_t most = 0;
    if (group.rank() == 0 && group.size() > 1) {
      const Deadline deadline(std::chrono::milliseconds(300));
      static_cast<void>(wait_until(deadline, [&] {
        most = std::max(most, quadratic.worker().exchange().events());
        return false;
      }));
      EXPECT_LE(static_cast<double>(most), 4.0 * per_step + 2.0);
    }

    quadratic.run(30);
    quadratic.worker().leave();

    EXPECT_EQ(quadratic.worker().position().step, 30);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, DADAOTest, testing::ValuesIn(test::engine_rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::engine
