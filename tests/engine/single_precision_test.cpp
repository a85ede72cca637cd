// SPDX-License-Identifier: Apache-2.0
// Rounding errors of many steps, on ranks that are threads.
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <span>

#include <libgossip/algorithm/exact_diffusion.h>
#include <libgossip/algorithm/extra.h>
#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/algorithm/kgt.h>
#include <libgossip/algorithm/led.h>
#include <libgossip/algorithm/push_pull.h>
#include <libgossip/algorithm/scaffold.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/transport/local/cluster.h>

#include "engine/engine_test_support.h"
#include "engine/quadratic.h"
#include "support/thread_ranks.h"

namespace gossip::engine {
namespace {

using test::Quadratic;

struct Method {
  const char* name;
  std::function<std::unique_ptr<algorithm::Algorithm>()> make;
};

class SinglePrecision : public testing::TestWithParam<Method> {};

/// The two-point forms of D2 and EXTRA are off by more than 1e-2 then.
TEST_P(SinglePrecision, TheMeanStaysAtTheOptimum) {
  constexpr int kRanks = 8;
  constexpr int kSteps = 16'000;
  constexpr float kRate = 1.0F / 16;
  // spec: (sum A)^-1 sum A b of the reference problem.
  constexpr std::array<double, 5> kOptimum{0.8497131940154946, -0.9379087820014591,
                                           1.2759355381115798, -1.0033304709242294,
                                           1.0583657449186286};
  const Quadratic problem;
  transport::local::Cluster cluster(kRanks);
  test::run_ranks(kRanks, [&](int rank) {
    const auto group = cluster.group(rank);
    const std::vector<std::vector<double>> a = problem.a(rank);
    const std::vector<double> b = problem.b(rank);
    const std::vector<double> start = problem.start(rank, false);
    std::vector<float> x(start.begin(), start.end());
    std::vector<float> gradient(x.size(), 0.0F);
    const auto update = [&] {
      for (std::size_t k = 0; k < x.size(); ++k) x[k] -= kRate * gradient[k];
    };
    PlainPort port({std::span<float>(x)}, {std::span<float>(gradient)}, update,
                   [&] { return kRate; });
    StagedWorker worker(*group, GetParam().make(), problem.lazy_matrix(), port,
                        {.timeout = std::chrono::seconds(60)});
    for (int step = 0; step < kSteps; ++step) {
      worker.prepare();
      for (std::size_t r = 0; r < x.size(); ++r) {
        gradient[r] = 0.0F;
        for (std::size_t c = 0; c < x.size(); ++c) {
          gradient[r] += static_cast<float>(a[r][c]) * (x[c] - static_cast<float>(b[c]));
        }
      }
      worker.finish();
    }

    std::vector<double> mean(x.begin(), x.end());
    transport::average_(*group, std::span<double>(mean));
    for (std::size_t k = 0; k < mean.size(); ++k) EXPECT_NEAR(mean[k], kOptimum[k], 1e-4);
  });
}

INSTANTIATE_TEST_SUITE_P(
    Methods, SinglePrecision,
    testing::Values(
        Method{"exact_diffusion", [] { return std::make_unique<algorithm::ExactDiffusion>(); }},
        Method{"gradient_tracking", [] { return std::make_unique<algorithm::GradientTracking>(); }},
        Method{"push_pull", [] { return std::make_unique<algorithm::PushPull>(); }},
        Method{"extra", [] { return std::make_unique<algorithm::EXTRA>(); }},
        Method{"led", [] { return std::make_unique<algorithm::LED>(2); }},
        Method{"kgt", [] { return std::make_unique<algorithm::KGT>(2, 0.5); }},
        Method{"scaffold", [] { return std::make_unique<algorithm::Scaffold>(2); }}),
    [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace gossip::engine
