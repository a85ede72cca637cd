// SPDX-License-Identifier: Apache-2.0
// The values that the gradient estimators give, and what they refuse.
#include <algorithm>
#include <array>
#include <limits>

#include "optim/estimators_test_support.h"

namespace gossip::optim {
namespace {

using test::descend;
using test::kSamples;
using test::LeastSquares;
using test::max_distance;
using test::Normed;
using test::restore;
using test::sample_of;
using test::saved;

// --- Storm ---------------------------------------------------------------------------------------

TEST(Storm, FollowsItsRecursion) {
  constexpr std::size_t kDims = 3;
  constexpr double kA = 0.3;
  constexpr double kRate = 0.1;
  LeastSquares model;
  Storm storm(model, StormOptions().a(kA));
  using Vector = std::array<double, kDims>;
  Vector x{0.5, -1.0, 2.0};
  Vector last{};
  Vector estimate{};
  const auto gradient = [&](const Vector& at, std::int64_t i) {
    Vector row{};
    double residual = -model.b[i].item<double>();
    for (std::size_t k = 0; k < kDims; ++k) {
      row[k] = model.a[i][static_cast<std::int64_t>(k)].item<double>();
      residual += row[k] * at[k];
    }
    for (double& value : row) value *= residual;
    return row;
  };

  for (int step = 0; step < 20; ++step) {
    const std::int64_t i = sample_of(step);
    const double loss = storm.backward([&] { return model.loss(i); }).item<double>();
    const Vector now = gradient(x, i);
    const Vector before = gradient(last, i);
    EXPECT_DOUBLE_EQ(loss, model.loss(i).item<double>());
    for (std::size_t k = 0; k < kDims; ++k) {
      estimate[k] = step == 0 ? now[k] : now[k] + (1.0 - kA) * (estimate[k] - before[k]);
      EXPECT_NEAR(model.x.grad()[static_cast<std::int64_t>(k)].item<double>(), estimate[k], 1e-12)
          << "step " << step;
    }
    last = x;
    for (std::size_t k = 0; k < kDims; ++k) x[k] -= kRate * estimate[k];
    descend(model, kRate);
  }
}

TEST(Storm, WithFullForgettingIsThePlainGradient) {
  const auto plain = test::make<Normed>(3);
  const auto model = test::make<Normed>(3);
  Storm storm(*model, StormOptions().a(1.0));
  for (int step = 0; step < 5; ++step) {
    plain->zero_grad();
    test::loss(*plain, 0, step).backward();
    storm.backward([&] { return test::loss(*model, 0, step); });

    test::expect_equal(test::gradients_of(*model), test::gradients_of(*plain));
    descend(*plain, 0.1);
    descend(*model, 0.1);
  }
  test::expect_equal(model->parameters(), plain->parameters());
  test::expect_equal(model->buffers(), plain->buffers());
}

TEST(Storm, ForgetsByTheLatestRate) {
  LeastSquares model;
  Storm storm(model, StormOptions().a(0.2));
  storm.backward([&] { return model.loss(0); });
  const torch::Tensor first = model.x.grad().clone();
  // At the same parameters the correction is the same gradient: d = g + (1 - a) (d - g).
  storm.set_a(0.75);
  storm.backward([&] { return model.loss(1); });
  const torch::Tensor plain = model.a[1] * (model.a[1].dot(model.x.detach()) - model.b[1]);
  EXPECT_LE(max_distance(model.x.grad(), plain + 0.25 * (first - plain)), 1e-12);
  EXPECT_EQ(storm.a(), 0.75);
  Storm resumed(model);
  restore(resumed, saved(storm));
  EXPECT_EQ(resumed.a(), 0.75);
}

// --- the estimates are unbiased ------------------------------------------------------------------

/// `backward(sample)` estimates from one sample; the mean over all of them is the full gradient.
template <class Backward>
void expect_unbiased(const LeastSquares& model, Backward&& backward) {
  torch::Tensor mean = torch::zeros_like(model.x);
  double spread = 0.0;
  for (std::int64_t i = 0; i < kSamples; ++i) {
    backward(i);
    mean += model.x.grad() / static_cast<double>(kSamples);
    spread = std::max(spread, max_distance(model.x.grad(), model.full_gradient()));
  }
  EXPECT_LE(max_distance(mean, model.full_gradient()), 1e-12);
  EXPECT_GE(spread, 1e-3) << "the samples agree, so that the test shows nothing";
}

TEST(LooplessSVRG, WithOneBatchIsTheFullGradient) {
  for (const double probability : {1.0, 0.2}) {
    LeastSquares model;
    LooplessSVRG svrg(model, model.parts(1), LooplessSVRGOptions().probability(probability));
    for (int step = 0; step < 10; ++step) {
      svrg.backward([&] { return model.full_loss(); });
      EXPECT_LE(max_distance(model.x.grad(), model.full_gradient()), 1e-12);
      descend(model, 0.1);
    }
    EXPECT_EQ(svrg.snapshots() == 10, probability == 1.0);
  }
}

TEST(LooplessSVRG, IsExactWhereItRenews) {
  LeastSquares model;
  LooplessSVRG svrg(model, model.parts(4), LooplessSVRGOptions().probability(1.0).parts(4));
  for (int step = 0; step < 5; ++step) {
    svrg.backward([&] { return model.loss(sample_of(step)); });
    EXPECT_LE(max_distance(model.x.grad(), model.full_gradient()), 1e-12);
    descend(model, 0.1);
  }
}

TEST(LooplessSVRG, IsUnbiased) {
  LeastSquares model;
  // Only the first step renews.
  LooplessSVRG svrg(model, model.parts(2), LooplessSVRGOptions().probability(1e-12).parts(2));
  for (int step = 0; step < 6; ++step) {
    svrg.backward([&] { return model.loss(sample_of(step)); });
    descend(model, 0.1);
  }
  expect_unbiased(model, [&](std::int64_t i) { svrg.backward([&] { return model.loss(i); }); });
  EXPECT_EQ(svrg.snapshots(), 1);
}

TEST(LooplessSVRG, RenewsAsOftenAsItsProbabilitySays) {
  const auto steps_of = [](std::uint64_t seed) {
    LeastSquares model;
    LooplessSVRG svrg(model, model.parts(1), LooplessSVRGOptions().probability(0.3).seed(seed));
    std::string renewed;
    for (int step = 0; step < 400; ++step) {
      const std::int64_t before = svrg.snapshots();
      svrg.backward([&] { return model.loss(0); });
      renewed += svrg.snapshots() > before ? '1' : '0';
    }
    return renewed;
  };
  const std::string renewed = steps_of(1);
  EXPECT_NEAR(static_cast<double>(std::ranges::count(renewed, '1')), 120.0, 37.0);  // 4 sigma
  EXPECT_EQ(renewed, steps_of(1));
  EXPECT_NE(renewed, steps_of(2));
}

TEST(LooplessSVRG, LoadsItsOptions) {
  LeastSquares model;
  const LooplessSVRG svrg(model, model.parts(1), LooplessSVRGOptions().probability(1.0).seed(7));
  LooplessSVRG resumed(model, model.parts(1), LooplessSVRGOptions().probability(1e-12).seed(9));
  restore(resumed, saved(svrg));
  EXPECT_EQ(saved(resumed), saved(svrg));
  for (int step = 0; step < 3; ++step) resumed.backward([&] { return model.loss(0); });
  EXPECT_EQ(resumed.snapshots(), 3);
}

TEST(Saga, IsUnbiased) {
  LeastSquares model;
  Saga saga(model, kSamples);
  for (int step = 0; step < 6; ++step) {
    const std::int64_t i = sample_of(step);
    saga.backward(i, [&] { return model.loss(i); });
    descend(model, 0.1);
  }
  const std::string state = saved(saga);
  expect_unbiased(model, [&](std::int64_t i) {
    restore(saga, state);
    saga.backward(i, [&] { return model.loss(i); });
  });
}

TEST(Saga, RemembersOneGradientAnEntry) {
  LeastSquares model;
  Saga saga(model, kSamples);
  const auto visit_all = [&] {
    for (std::int64_t i = 0; i < kSamples; ++i) saga.backward(i, [&] { return model.loss(i); });
  };
  visit_all();
  // The table holds the gradients here, so that every estimate here is the full gradient.
  for (std::int64_t i = 0; i < kSamples; ++i) {
    saga.backward(i, [&] { return model.loss(i); });
    EXPECT_LE(max_distance(model.x.grad(), model.full_gradient()), 1e-12) << "entry " << i;
  }
}

// --- they converge where SGD does not ------------------------------------------------------------

/// The distance to the minimizer after some steps with samples drawn at random.
template <class Backward>
double error_after(LeastSquares& model, int steps, double rate, Backward&& backward) {
  for (int step = 0; step < steps; ++step) {
    backward(sample_of(step));
    descend(model, rate);
  }
  return model.error();
}

TEST(VarianceReduction, ConvergesToTheMinimizerWithAConstantStep) {
  constexpr int kSteps = 6000;
  const double rate = 1.0 / (6.0 * LeastSquares().smoothness());
  LeastSquares of_sgd;
  LeastSquares of_saga;
  LeastSquares of_svrg;
  Saga saga(of_saga, kSamples);
  LooplessSVRG svrg(of_svrg, of_svrg.parts(1), LooplessSVRGOptions().probability(1.0 / kSamples));

  const double sgd_error = error_after(of_sgd, kSteps, rate, [&](std::int64_t i) {
    of_sgd.zero_grad();
    of_sgd.loss(i).backward();
  });
  const double saga_error = error_after(of_saga, kSteps, rate, [&](std::int64_t i) {
    saga.backward(i, [&] { return of_saga.loss(i); });
  });
  const double svrg_error = error_after(of_svrg, kSteps, rate, [&](std::int64_t i) {
    svrg.backward([&] { return of_svrg.loss(i); });
  });

  EXPECT_LE(saga_error, 1e-9);
  EXPECT_LE(svrg_error, 1e-9);
  EXPECT_GE(sgd_error, 1e-3);
}

// --- refusals ------------------------------------------------------------------------------------

TEST(Estimators, RefuseOptionsOutOfRange) {
  LeastSquares model;
  Storm storm(model);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double value : {0.0, -0.5, 1.5, nan}) {
    test::expect_throw<Error>([&] { Storm(model, StormOptions().a(value)); },
                              {fmt::format("STORM's a is {}:", value), "at most 1"});
    test::expect_throw<Error>([&] { storm.set_a(value); }, {fmt::format("a is {}:", value)});
    test::expect_throw<Error>(
        [&] { LooplessSVRG(model, model.parts(1), LooplessSVRGOptions().probability(value)); },
        {fmt::format("probability of a snapshot is {}:", value), "at most 1"});
  }
  EXPECT_EQ(storm.a(), 0.1);
  test::expect_throw<Error>(
      [&] { LooplessSVRG(model, model.parts(1), LooplessSVRGOptions().parts(0)); },
      {"full loss has 0 parts"});
  test::expect_throw<Error>([&] { LooplessSVRG(model, nullptr); }, {"empty function"});
  for (const std::int64_t entries : {0, -3}) {
    test::expect_throw<Error>([&] { Saga(model, entries); },
                              {fmt::format("table has {} entries", entries), "at least 1"});
  }
}

TEST(Estimators, RefuseEntriesModelsAndLossesThatAreNotThere) {
  LeastSquares model;
  Saga saga(model, kSamples);
  int calls = 0;
  for (const std::int64_t entry : {std::int64_t{-1}, kSamples}) {
    test::expect_throw<Error>([&] { saga.backward(entry, [&] { return ++calls, model.loss(0); }); },
                              {fmt::format("no entry {} ", entry), "0 to 7"});
  }
  EXPECT_EQ(calls, 0);
  test::expect_throw<Error>([&] { saga.backward(0, [] { return torch::Tensor(); }); },
                            {"undefined tensor"});
  Saga larger(model, kSamples + 1);
  test::expect_throw<Error>([&] { restore(larger, saved(saga)); },
                            {"Double [8, 3], but Double [9, 3] is needed"});
  torch::nn::Module nothing("empty");
  test::expect_throw<Error>([&] { const Storm storm(nothing); }, {"'empty' has no parameters"});
}

}  // namespace
}  // namespace gossip::optim
