// SPDX-License-Identifier: Apache-2.0
// Push-sum's iterates against the reference on 8 ranks: see transport/on_ranks.h.
#include <chrono>
#include <memory>
#include <string>

#include <libgossip/algorithm/push_sum_sgd.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/topology/directed.h>

#include "engine/engine_test_support.h"
#include "engine/quadratic.h"

namespace gossip::engine {
namespace {

using test::Quadratic;
using transport::Group;

struct Method {
  const char* name;
  double rate;
  enum { kGraph, kMatrix, kOnePeer } topology;

  [[nodiscard]] topology::Schedule schedule(const Quadratic& problem) const {
    if (topology == kGraph) return problem.directed_graph();
    if (topology == kMatrix) return problem.column_stochastic_matrix();
    return topology::one_peer_exponential(8);
  }
};

constexpr Method kMethods[] = {{"sgp", 1.0 / 32, Method::kGraph},
                               {"sgp", 1.0 / 32, Method::kMatrix},
                               {"sgp_one_peer_exp", 1.0 / 16, Method::kOnePeer},
                               {"push_sum_average", 0.0, Method::kGraph},
                               {"push_sum_average", 0.0, Method::kMatrix}};

class PushSumReference : public testing::TestWithParam<Method> {};

TEST_P(PushSumReference, IteratesAgree) {
  const Method& method = GetParam();
  const Quadratic problem;
  test::on_ranks(8, [&](Group& group) {
    ASSERT_EQ(group.size(), 8);
    std::vector<double> x = problem.start(group.rank(), false);
    const auto update = [&] {
      const std::vector<double> gradient = problem.gradient(group.rank(), x);
      for (std::size_t k = 0; k < x.size(); ++k) x[k] -= method.rate * gradient[k];
    };
    const topology::Schedule schedule = method.schedule(problem);
    PlainPort port({std::span<double>(x)}, {}, update);
    StagedWorker worker(
        group, std::make_shared<algorithm::PushSumSGD>(),
        {topology::with_row_weights(schedule), topology::with_column_weights(schedule)}, port,
        {.timeout = std::chrono::seconds(30)});

    int step = 0;
    for (const int snapshot : test::kReferenceSteps) {
      for (; step < snapshot; ++step) worker.finish();
      const std::vector<double> expected = problem.iterate(method.name, snapshot, group.rank());
      for (std::size_t k = 0; k < x.size(); ++k) {
        EXPECT_NEAR(x[k], expected[k], 1e-10) << "step " << snapshot << ", element " << k;
      }
      EXPECT_NEAR(worker.position().weight, problem.weight(method.name, snapshot, group.rank()),
                  1e-12);
    }
  });
}

std::string name_of_method(const testing::TestParamInfo<Method>& method) {
  constexpr const char* kTopologies[] = {"graph", "matrix", "one_peer"};
  return fmt::format("{}_on_{}", method.param.name, kTopologies[method.param.topology]);
}

INSTANTIATE_TEST_SUITE_P(Methods, PushSumReference, testing::ValuesIn(kMethods), name_of_method);

}  // namespace
}  // namespace gossip::engine
