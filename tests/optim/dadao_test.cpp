// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <sstream>

#include <libgossip/optim/curvature.h>
#include <libgossip/optim/dadao.h>

#include "optim_test_support.h"

namespace gossip::optim {
namespace {

using test::bytes_of;
using test::expect_throw;
using test::make;

constexpr double kWeightDecay = 0.1;

/// Least squares without a bias, regularized: a quadratic, whose minimum over all ranks is known.
struct LeastSquares : torch::nn::Module {
  LeastSquares() { weight = register_parameter("weight", torch::zeros({3}, torch::kFloat64)); }
  torch::Tensor weight;
};

torch::Tensor inputs(Rank rank) {
  const torch::Tensor numbers = torch::arange(24, torch::kFloat64).reshape({8, 3});
  return torch::sin(numbers * (1.3 + 0.4 * rank) + rank);
}

torch::Tensor targets(Rank rank) {
  return torch::cos(torch::arange(8, torch::kFloat64) + 2 * rank);
}

torch::Tensor loss_of(const LeastSquares& module, Rank rank) {
  return 0.5 * (inputs(rank).mv(module.weight) - targets(rank)).square().mean();
}

/// Of the sum of all ranks' losses with weight decay.
torch::Tensor optimum_of(int size) {
  torch::Tensor matrix = torch::zeros({3, 3}, torch::kFloat64);
  torch::Tensor vector = torch::zeros({3}, torch::kFloat64);
  for (Rank rank = 0; rank < size; ++rank) {
    matrix += inputs(rank).t().mm(inputs(rank)) / 8 + kWeightDecay * torch::eye(3, torch::kFloat64);
    vector += inputs(rank).t().mv(targets(rank)) / 8;
  }
  return torch::linalg_solve(matrix, vector);
}

double largest_eigenvalue(Rank rank) {
  return torch::linalg_eigvalsh(inputs(rank).t().mm(inputs(rank)) / 8).max().item<double>();
}

class DADAOTest : public test::OptimTest {
 protected:
  [[nodiscard]] DADAOOptions options() const {
    return DADAOOptions().weight_decay(kWeightDecay).timeout(std::chrono::seconds(60));
  }

  static void step(DADAO& optimizer, LeastSquares& module, Rank self) {
    optimizer.zero_grad();
    loss_of(module, self).backward();
    optimizer.step();
  }
};

TEST_F(DADAOTest, CurvatureIsTheLargestEigenvalueOfAQuadratic) {
  LeastSquares module;
  module.weight.mutable_grad() = torch::ones({3}, torch::kFloat64);

  const double curvature = largest_curvature(module, [&] { return loss_of(module, rank()); });

  const double exact = largest_eigenvalue(rank());
  EXPECT_LE(curvature, exact * (1 + 1e-12));
  EXPECT_GE(curvature, exact * 0.95);
  EXPECT_TRUE(torch::equal(module.weight.grad(), torch::ones({3}, torch::kFloat64)));
  expect_throw<Error>(
      [&] { static_cast<void>(largest_curvature(module, [] { return torch::ones({2}); })); },
      {"2 elements", "does not depend", "must be a scalar"});
}

TEST_F(DADAOTest, CurvatureCountsAParameterWithTwoNamesOnce) {
  const auto inner = std::make_shared<LeastSquares>();
  torch::nn::Module module;
  module.register_module("one", inner);
  module.register_module("other", inner);
  const double curvature = largest_curvature(module, [&] { return loss_of(*inner, rank()); });
  EXPECT_LE(curvature, largest_eigenvalue(rank()) * (1 + 1e-12));
}

TEST_F(DADAOTest, CurvatureIsThatOfTiedParametersTogether) {
  LeastSquares one;
  LeastSquares other;
  other.weight.set_data(one.weight.data());
  torch::nn::Module module;
  module.register_parameter("one", one.weight);
  module.register_parameter("other", other.weight);

  const double curvature =
      largest_curvature(module, [&] { return loss_of(one, rank()) + loss_of(other, rank()); });

  const double exact = 2 * largest_eigenvalue(rank());
  EXPECT_LE(curvature, exact * (1 + 1e-12));
  EXPECT_GE(curvature, exact * 0.95);
}

TEST_F(DADAOTest, ComesToTheOptimumOfAllRanks) {
  LeastSquares module;
  DADAO optimizer(world(), module, topology::ring(size()),
                  options().loss([&] { return loss_of(module, rank()); }));
  const torch::Tensor optimum = optimum_of(size());

  double least = 1e9;
  for (int i = 0; i < 1000; ++i) {
    step(optimizer, module, rank());
    least = std::min(least, (module.weight - optimum).norm().item<double>());
  }

  EXPECT_LT(least, 1e-4);
  EXPECT_DOUBLE_EQ(optimizer.constants().mu, kWeightDecay);
  double largest = 0.0;
  for (Rank other = 0; other < size(); ++other) {
    largest = std::max(largest, largest_eigenvalue(other));
  }
  EXPECT_NEAR(optimizer.constants().lipschitz, 1.1 * largest + kWeightDecay, 0.06 * largest);
  optimizer.with_mean_model(
      [&] { EXPECT_LT((module.weight - optimum).norm().item<double>(), 0.05); });
}

TEST_F(DADAOTest, ShowsTheMeanOverStepsOfStochasticGradients) {
  LeastSquares module;
  DADAO optimizer(world(), module, topology::complete(size()),
                  options().lipschitz(3.0).average_from(3));
  std::vector<torch::Tensor> seen;
  for (int i = 0; i < 8; ++i) {
    step(optimizer, module, rank());
  }
  // What the steps from 3 on left cannot be read between step() and the next exchange, but the mean
  // is within the range of what it was made of, and is put back afterwards.
  const std::string before = bytes_of({module.weight});
  std::string shown;
  optimizer.with_mean_model([&] { shown = bytes_of({module.weight}); });

  EXPECT_NE(shown, before);
  const std::vector<std::string> all = world().all_gather(shown);
  for (const std::string& other : all) EXPECT_EQ(other, all.front());
}

TEST_F(DADAOTest, TheMeanIsThatOfTheModelsThatTheStepsLeft) {
  if (size() > 1) return;  // whose steps do not repeat to the bit
  const auto shown_after = [&](int steps, int average_from) {
    LeastSquares module;
    DADAO optimizer(world(), module, topology::ring(size()),
                    options().lipschitz(3.0).average_from(average_from));
    for (int i = 0; i < steps; ++i) step(optimizer, module, rank());
    torch::Tensor shown;
    optimizer.with_mean_model([&] { shown = module.weight.detach().clone(); });
    return shown;
  };

  torch::Tensor mean = torch::zeros({3}, torch::kFloat64);
  for (int i = 0; i < 5; ++i) mean += shown_after(i + 1, i) / 5;

  EXPECT_TRUE(torch::allclose(shown_after(5, 0), mean, 1e-12, 1e-12));
  EXPECT_FALSE(torch::allclose(shown_after(5, 4), mean, 1e-6, 1e-6));
}

TEST_F(DADAOTest, AStateThatIsLoadedGoesOn) {
  LeastSquares module;
  DADAO optimizer(world(), module, topology::ring(size()),
                  options().lipschitz(3.0).average_from(0));
  for (int i = 0; i < 20; ++i) step(optimizer, module, rank());
  std::stringstream file;
  torch::Tensor weight;
  std::string shown;
  optimizer.paused([&] {
    torch::serialize::OutputArchive archive;
    optimizer.save(archive);
    archive.save_to(file);
    weight = module.weight.detach().clone();
  });
  optimizer.with_mean_model([&] { shown = bytes_of({module.weight}); });

  LeastSquares other;
  DADAO resumed(world(), other, topology::ring(size()), options().lipschitz(3.0).average_from(0));
  resumed.paused([&] {
    torch::serialize::InputArchive archive;
    archive.load_from(file);
    resumed.load(archive);
    const torch::NoGradGuard no_grad;
    other.weight.copy_(weight);
  });
  EXPECT_EQ(resumed.steps(), 20);
  resumed.with_mean_model([&] { EXPECT_EQ(bytes_of({other.weight}), shown); });
  double least = 1e9;
  const torch::Tensor optimum = optimum_of(size());
  for (int i = 0; i < 1000; ++i) {
    step(resumed, other, rank());
    least = std::min(least, (other.weight - optimum).norm().item<double>());
  }
  EXPECT_LT(least, 1e-4);
}

TEST_F(DADAOTest, SaysThatItDiverges) {
  LeastSquares module;
  // Curved 30 times as much as it says.
  DADAO optimizer(world(), module, topology::ring(size()),
                  options().weight_decay(0.0).mu(0.01).lipschitz(0.02));

  std::string message;
  try {
    for (int i = 0; i < 3000; ++i) step(optimizer, module, rank());
  } catch (const Error& error) {
    message = error.what();
  }
  // The others may have found out first; whoever did not waits for nobody.
  EXPECT_THAT(message, testing::HasSubstr("DADAO diverges"));
  EXPECT_THAT(message, testing::HasSubstr("planned"));
  EXPECT_THAT(message, testing::HasSubstr("achieved"));
}

TEST_F(DADAOTest, RefusesWhatItCannotMinimize) {
  LeastSquares module;
  const auto make_with = [&](const DADAOOptions& options) {
    DADAO(world(), module, topology::ring(size()), options);
  };

  expect_throw<Error>([&] { make_with(DADAOOptions().lipschitz(1.0)); },
                      {"mu is 0", "weight decay"});
  expect_throw<Error>([&] { make_with(DADAOOptions().mu(2.0).lipschitz(1.0)); },
                      {"L is 1 and mu is 2"});
  expect_throw<Error>([&] { make_with(DADAOOptions().mu(0.1)); },
                      {"constant L of smoothness", "give lipschitz"});
  expect_throw<Error>([&] { make_with(DADAOOptions().mu(0.1).lipschitz(1.0).safety(0.7)); },
                      {"safety factor is 0.7", "diverges"});
  expect_throw<Error>([&] { make_with(DADAOOptions().weight_decay(-1.0).lipschitz(1.0)); },
                      {"weight decay is -1"});
}

}  // namespace
}  // namespace gossip::optim
