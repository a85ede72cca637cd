// SPDX-License-Identifier: Apache-2.0
// Simulated workers beside real ones, on threads or processes: see transport/on_ranks.h.
#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/algorithm/adom_plus.h>
#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/algorithm/msda.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/sim/staged_simulation.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/weights.h>

#include "sim_test_support.h"
#include "transport/on_ranks.h"

namespace gossip::sim {
namespace {

using Method = StagedSimulation::Method;

constexpr int kRanks = 4;
constexpr std::size_t kElements = 3;
constexpr double kRate = 0.05;

/// Both make `steps` steps and end with the same bits in all vectors.
void expect_agreement(const Method& method, const topology::Graph& graph,
                      const StagedSimulation::Gradient& gradient, int steps) {
  const topology::Schedule matrix = topology::spectral_weights(graph);
  StagedSimulation simulated(method, matrix, kElements, kRate);
  for (int step = 0; step < steps; ++step) simulated.step(gradient);

  test::on_ranks(kRanks, [&](transport::Group& group) {
    std::vector<double> x(kElements, 0.0);
    std::vector<double> g(kElements, 0.0);
    const auto update = [&] {
      kernels::axpby(-kRate, std::span<const double>(g), 1.0, std::span<double>(x));
    };
    engine::PlainPort port({std::span<double>(x)}, {std::span<double>(g)}, update);
    engine::StagedWorker worker(group, method, matrix, port);
    for (int step = 0; step < steps; ++step) {
      worker.prepare();
      gradient(group.rank(), x, g);
      worker.finish();
    }

    EXPECT_TRUE(std::ranges::equal(x, simulated.model(group.rank()))) << method->name();
    int index = algorithm::kFirstState;
    for (const engine::StateVector& state : worker.state()) {
      const auto expected = simulated.vector(group.rank(), index++);
      EXPECT_TRUE(std::ranges::equal(state.vector.as<double>(), expected)) << state.name;
    }
  });
}

TEST(SimulatedAndRealWorkers, AgreeToTheLastBit) {
  const test::Quadratics problem(kRanks, kElements, 1.0, 10.0);
  const auto primal = [&](Rank i, auto x, auto out) { problem.gradient(i, x, out); };
  const auto dual = [&](Rank i, auto y, auto out) { problem.conjugate_gradient(i, y, out); };
  for (const topology::Graph& graph : {topology::ring(kRanks), topology::path(kRanks)}) {
    for (const auto consensus : {algorithm::Consensus::kSingle, algorithm::Consensus::kMulti}) {
      expect_agreement(std::make_shared<const algorithm::ADOMPlus>(
                           algorithm::adom_plus_constants(1.0, 10.0, graph, consensus)),
                       graph, primal, 100);
    }
    expect_agreement(
        std::make_shared<const algorithm::MSDA>(algorithm::msda_constants(1.0, 10.0, graph)), graph,
        dual, 30);
    expect_agreement(std::make_shared<const algorithm::GradientTracking>(), graph, primal, 100);
  }
}

}  // namespace
}  // namespace gossip::sim
