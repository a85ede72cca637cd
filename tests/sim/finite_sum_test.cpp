// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/base/error.h>
#include <libgossip/sim/finite_sum.h>
#include <libgossip/sim/staged_simulation.h>
#include <libgossip/topology/families.h>

#include "sim_test_support.h"
#include "support/expect_throw.h"

namespace gossip::sim {
namespace {

using test::expect_throw;

constexpr int kWorkers = 8;
constexpr int kSamples = 10;
constexpr std::size_t kElements = 3;

/// Sample s of worker i has the loss of worker 10 i + s of QUAD.
const test::Quadratics& problem() {
  static const test::Quadratics kProblem(kWorkers * kSamples, kElements, 1.0, 4.0);
  return kProblem;
}

FiniteSum losses() {
  return {.size = kWorkers,
          .num_samples = kSamples,
          .num_elements = kElements,
          .component_gradient = [](Rank worker, std::int64_t sample, auto x, auto out) {
            problem().gradient(kSamples * worker + static_cast<Rank>(sample), x, out);
          }};
}

std::vector<double> full_gradient(Rank worker, const std::vector<double>& x) {
  std::vector<double> sum(kElements, 0.0);
  std::vector<double> one(kElements);
  for (std::int64_t sample = 0; sample < kSamples; ++sample) {
    losses().component_gradient(worker, sample, x, one);
    for (std::size_t k = 0; k < kElements; ++k) sum[k] += one[k] / kSamples;
  }
  return sum;
}

void expect_near(const std::vector<double>& value, const std::vector<double>& expected,
                 double tolerance) {
  for (std::size_t k = 0; k < kElements; ++k) EXPECT_NEAR(value[k], expected[k], tolerance) << k;
}

const std::vector<double> kHere{0.3, -0.2, 1.1};
const std::vector<double> kNearby{0.31, -0.25, 1.0};

TEST(Saga, IsTheFullGradientWhereAllSamplesWereVisited) {
  Saga saga(losses(), 7);
  std::vector<double> estimate(kElements);
  saga.estimate(2, kHere, estimate);
  std::vector<double> first = estimate;
  for (int step = 0; step < 300; ++step) saga.estimate(2, kHere, estimate);

  expect_near(estimate, full_gradient(2, kHere), 1e-13);
  EXPECT_GT(std::abs(first[0] - estimate[0]), 1e-2) << "one sample's gradient";
  EXPECT_EQ(saga.component_gradients(), 301);
}

TEST(LooplessSVRG, IsTheFullGradientAtTheSnapshot) {
  LooplessSVRG svrg(losses(), 1e-9, 7);
  std::vector<double> estimate(kElements);
  svrg.estimate(2, kHere, estimate);
  EXPECT_EQ(svrg.component_gradients(), kSamples);
  expect_near(estimate, full_gradient(2, kHere), 1e-13);

  svrg.estimate(2, kHere, estimate);
  EXPECT_EQ(svrg.component_gradients(), kSamples + 2);
  expect_near(estimate, full_gradient(2, kHere), 1e-13);
}

/// Many estimates at a point beside the one where the estimator was before: the mean is the full
/// gradient there.
template <class Estimator>
void expect_unbiased(const Estimator& used) {
  constexpr int kDraws = 20000;
  Estimator estimator = used;
  std::vector<double> mean(kElements, 0.0);
  std::vector<double> estimate(kElements);
  double spread = 0.0;
  const std::vector<double> full = full_gradient(1, kNearby);
  for (int draw = 0; draw < kDraws; ++draw) {
    Estimator fresh = estimator;  // with this table or snapshot
    fresh.estimate(1, kNearby, estimate);
    for (std::size_t k = 0; k < kElements; ++k) mean[k] += estimate[k] / kDraws;
    spread = std::max(spread, std::abs(estimate[0] - full[0]));
    estimator.estimate(1, kHere, estimate);  // draws on; the table there is full
  }
  expect_near(mean, full, 2e-3);
  EXPECT_GT(spread, 1e-3);
}

TEST(Saga, IsUnbiased) {
  Saga saga(losses(), 3);
  std::vector<double> estimate(kElements);
  for (int step = 0; step < 300; ++step) saga.estimate(1, kHere, estimate);
  expect_unbiased(saga);
}

TEST(LooplessSVRG, IsUnbiased) {
  LooplessSVRG svrg(losses(), 1e-9, 3);
  std::vector<double> estimate(kElements);
  svrg.estimate(1, kHere, estimate);
  expect_unbiased(svrg);
}

TEST(LooplessSVRG, RenewsAsOftenAsItIsToldAtAllWorkersInTheSameSteps) {
  LooplessSVRG svrg(losses(), 0.2, 3);
  std::vector<double> estimate(kElements);
  const auto cost_of = [&](Rank worker) {
    const std::int64_t before = svrg.component_gradients();
    svrg.estimate(worker, kHere, estimate);
    return svrg.component_gradients() - before;
  };
  constexpr int kEstimates = 10000;
  int renewals = 0;
  for (int step = 0; step < kEstimates; ++step) {
    const std::int64_t cost = cost_of(0);
    ASSERT_EQ(cost_of(5), cost) << step;
    if (cost == kSamples) ++renewals;
  }
  EXPECT_NEAR(renewals, 0.2 * kEstimates, 200.0);
}

/// The mean of |x_i - x*|^2 after `steps` of gradient tracking.
double error_after(int steps, const StagedSimulation::Gradient& gradient) {
  StagedSimulation group(std::make_shared<const algorithm::GradientTracking>(),
                         topology::ring(kWorkers), kElements, 0.03);
  for (int step = 0; step < steps; ++step) group.step(gradient);
  double error = 0.0;
  for (Rank i = 0; i < kWorkers; ++i) error += problem().error_of(group.model(i)) / kWorkers;
  return error;
}

TEST(FiniteSum, EstimatorsConvergeWhereSamplesAloneDoNot) {
  Saga saga(losses(), 1);
  LooplessSVRG svrg(losses(), 1.0 / kSamples, 1);
  const FiniteSum sum = losses();
  SplitMix64 generator(1);

  const double with_saga =
      error_after(3000, [&](Rank i, auto x, auto out) { saga.estimate(i, x, out); });
  const double with_svrg =
      error_after(3000, [&](Rank i, auto x, auto out) { svrg.estimate(i, x, out); });
  const double alone = error_after(3000, [&](Rank i, auto x, auto out) {
    sum.component_gradient(i, static_cast<std::int64_t>(generator.below(kSamples)), x, out);
  });

  EXPECT_LT(with_saga, 1e-20);
  EXPECT_LT(with_svrg, 1e-20);
  EXPECT_GT(alone, 1e-4);
  EXPECT_EQ(saga.component_gradients(), 3000 * kWorkers);
}

TEST(FiniteSum, RefusesWhatIsNone) {
  FiniteSum none = losses();
  none.num_samples = 0;
  expect_throw<Error>([&] { Saga(none, 1); }, {"has 0 samples", "at least 1"});
  none = losses();
  none.size = 0;
  expect_throw<Error>([&] { LooplessSVRG(none, 0.5, 1); }, {"0 workers"});
  none = losses();
  none.component_gradient = nullptr;
  expect_throw<Error>([&] { Saga(none, 1); }, {"empty function"});
  for (const double probability : {0.0, 1.5, std::nan("")}) {
    expect_throw<Error>([&] { LooplessSVRG(losses(), probability, 1); },
                        {"probability of a snapshot is", "above 0 and at most 1"});
  }
}

}  // namespace
}  // namespace gossip::sim
