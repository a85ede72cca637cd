// SPDX-License-Identifier: Apache-2.0
// The worker's iterates against the reference on 8 ranks: see transport/on_ranks.h.
#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include <libgossip/algorithm/all_reduce.h>
#include <libgossip/algorithm/exact_diffusion.h>
#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/engine/staged_worker.h>

#include "engine/engine_test_support.h"
#include "engine/quadratic.h"

namespace gossip::engine {
namespace {

using algorithm::TrackingOrder;
using test::Quadratic;
using test::ReferenceMethod;
using transport::Group;

std::unique_ptr<algorithm::Algorithm> algorithm_of(const ReferenceMethod& method) {
  if (method.is_all_reduce) return std::make_unique<algorithm::AllReduce>();
  return std::make_unique<algorithm::GossipSGD>(method.order, method.local_steps);
}

class WorkerReference : public testing::TestWithParam<ReferenceMethod> {};

TEST_P(WorkerReference, IteratesAgree) {
  const ReferenceMethod& method = GetParam();
  const Quadratic problem;
  test::on_ranks(8, [&](Group& group) {
    ASSERT_EQ(group.size(), 8);
    std::vector<double> x = problem.start(group.rank(), method.has_common_start);
    std::vector<double> gradient(x.size(), 0.0);
    std::vector<double> momentum(x.size(), 0.0);
    const auto update = [&] {
      for (std::size_t k = 0; k < x.size(); ++k) {
        momentum[k] = method.momentum * momentum[k] + gradient[k];
        x[k] -= method.rate * momentum[k];
      }
    };
    // Two buckets.
    const StagedWorkerOptions options{.timeout = std::chrono::seconds(30), .bucket_bytes = 24};
    StagedWorker worker(group, algorithm_of(method), method.schedule(problem),
                        {{std::span<double>(x)}, {std::span<double>(gradient)}},
                        {.local_update = update, .average_gradient = {}}, options);

    int step = 0;
    for (const int snapshot : test::kReferenceSteps) {
      for (; step < snapshot; ++step) {
        worker.prepare();
        const std::vector<double> at_x = problem.gradient(group.rank(), x);
        std::copy(at_x.begin(), at_x.end(), gradient.begin());  // stays where it is
        worker.finish();
      }
      const std::vector<double> expected = problem.iterate(method.name, snapshot, group.rank());
      for (std::size_t k = 0; k < x.size(); ++k) {
        EXPECT_NEAR(x[k], expected[k], 1e-10) << "step " << snapshot << ", element " << k;
      }
    }
    EXPECT_EQ(worker.position().step, 100);
    EXPECT_EQ(worker.position().round, method.is_all_reduce ? 0 : 100 / method.local_steps);
    EXPECT_EQ(worker.counters().gossip_rounds, 100 / method.local_steps);
  });
}

/// Methods with vectors of their own.
struct BiasCorrected {
  const char* name;
  std::function<std::unique_ptr<algorithm::Algorithm>()> make;
  double rate;
  bool is_lazy;
  std::vector<std::pair<int, const char*>> state;  // of state(), and its name in the reference
};

const BiasCorrected kBiasCorrected[] = {
    {"gt_semi_atc",
     [] { return std::make_unique<algorithm::GradientTracking>(TrackingOrder::kSemiATC); },
     1.0 / 16,
     false,
     {}},
    {"gt_diging",
     [] { return std::make_unique<algorithm::GradientTracking>(TrackingOrder::kDIGing); },
     1.0 / 16,
     false,
     {}},
    {"gt_atc",
     [] { return std::make_unique<algorithm::GradientTracking>(TrackingOrder::kATC); },
     1.0 / 16,
     false,
     {}},
    {"exact_diffusion",
     [] { return std::make_unique<algorithm::ExactDiffusion>(); },
     1.0 / 16,
     true,
     {{0, "psi"}}},
};

class BiasCorrectedReference : public testing::TestWithParam<BiasCorrected> {};

TEST_P(BiasCorrectedReference, IteratesAgree) {
  const BiasCorrected& method = GetParam();
  const Quadratic problem;
  test::on_ranks(8, [&](Group& group) {
    std::vector<double> x = problem.start(group.rank(), false);
    std::vector<double> gradient(x.size(), 0.0);
    const auto update = [&] {
      for (std::size_t k = 0; k < x.size(); ++k) x[k] -= method.rate * gradient[k];
    };
    StagedWorker worker(group, method.make(),
                        method.is_lazy ? problem.lazy_matrix() : problem.mixing_matrix(),
                        {{std::span<double>(x)}, {std::span<double>(gradient)}},
                        {.local_update = update}, {.timeout = std::chrono::seconds(30)});

    int step = 0;
    for (const int snapshot : test::kReferenceSteps) {
      for (; step < snapshot; ++step) {
        worker.prepare();
        std::ranges::copy(problem.gradient(group.rank(), x), gradient.begin());
        worker.finish();
      }
      const auto expect_equal = [&](std::span<const double> values, const char* name) {
        const std::vector<double> expected =
            problem.iterate(method.name, snapshot, group.rank(), name);
        for (std::size_t k = 0; k < values.size(); ++k) {
          EXPECT_NEAR(values[k], expected[k], 1e-10) << name << " at step " << snapshot;
        }
      };
      expect_equal(x, "x");
      for (const auto& [index, name] : method.state) {
        expect_equal(worker.state()[static_cast<std::size_t>(index)].vector.as<double>(), name);
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Methods, BiasCorrectedReference, testing::ValuesIn(kBiasCorrected),
                         [](const auto& tested) { return std::string(tested.param.name); });

INSTANTIATE_TEST_SUITE_P(Methods, WorkerReference, testing::ValuesIn(test::kReferenceMethods),
                         test::name_of);

}  // namespace
}  // namespace gossip::engine
