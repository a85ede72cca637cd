// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <memory>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>

#include "convex_lab/libsvm.h"
#include "convex_lab/logistic_problem.h"
#include "convex_lab/quadratic_problem.h"
#include "support/expect_throw.h"

namespace gossip::examples {
namespace {

using test::expect_throw;
using Vector = std::vector<double>;

std::unique_ptr<LogisticProblem> logistic(double mu, double lipschitz, double heterogeneity = 1.0) {
  auto parts = synthetic_samples({.num_workers = 4,
                                  .samples_per_worker = 12,
                                  .dimension = 3,
                                  .heterogeneity = heterogeneity,
                                  .seed = 5});
  return std::make_unique<LogisticProblem>(
      std::move(parts), LogisticProblem::Curvature{.mu = mu, .lipschitz = lipschitz});
}

std::vector<std::unique_ptr<const ConvexProblem>> problems() {
  const QuadraticSize size{
      .num_workers = 5, .dimension = 4, .mu = 0.5, .lipschitz = 8.0, .num_components = 3};
  std::vector<std::unique_ptr<const ConvexProblem>> all;
  all.push_back(quad(size));
  all.push_back(random_quadratic(size, 2.0, 3));
  all.push_back(logistic(0.1, 2.0));
  return all;
}

double largest(const Vector& values) {
  double result = 0.0;
  for (const double value : values) result = std::max(result, std::abs(value));
  return result;
}

Vector point(const ConvexProblem& problem, double shift = 0.0) {
  Vector x(problem.dimension());
  for (std::size_t k = 0; k < x.size(); ++k) x[k] = std::sin(1.0 + static_cast<double>(k)) + shift;
  return x;
}

TEST(ConvexProblem, MeanGradientVanishesAtTheOptimum) {
  for (const auto& problem : problems()) {
    Vector mean(problem->dimension(), 0.0);
    Vector own(problem->dimension());
    for (Rank worker = 0; worker < problem->num_workers(); ++worker) {
      problem->gradient(worker, problem->optimum(), own);
      for (std::size_t k = 0; k < own.size(); ++k) mean[k] += own[k] / problem->num_workers();
    }

    EXPECT_LT(largest(mean), 1e-13 * problem->lipschitz()) << problem->describe();
  }
}

TEST(ConvexProblem, GradientsLieBetweenMuAndL) {
  for (const auto& problem : problems()) {
    const Vector x = point(*problem);
    const Vector y = point(*problem, 0.3);
    for (Rank worker = 0; worker < problem->num_workers(); ++worker) {
      Vector at_x(x.size());
      Vector at_y(x.size());
      problem->gradient(worker, x, at_x);
      problem->gradient(worker, y, at_y);
      double product = 0.0;
      double square = 0.0;
      for (std::size_t k = 0; k < x.size(); ++k) {
        product += (at_x[k] - at_y[k]) * (x[k] - y[k]);
        square += (x[k] - y[k]) * (x[k] - y[k]);
      }

      EXPECT_GE(product, problem->mu() * square * (1 - 1e-12)) << problem->describe();
      EXPECT_LE(product, problem->lipschitz() * square * (1 + 1e-12)) << problem->describe();
    }
  }
}

TEST(ConvexProblem, GradientIsTheMeanOfItsComponents) {
  for (const auto& problem : problems()) {
    const Vector x = point(*problem);
    for (Rank worker = 0; worker < problem->num_workers(); ++worker) {
      Vector rest(x.size());
      Vector component(x.size());
      problem->gradient(worker, x, rest);
      const std::size_t count = problem->num_components(worker);
      for (std::size_t j = 0; j < count; ++j) {
        problem->component_gradient(worker, j, x, component);
        for (std::size_t k = 0; k < x.size(); ++k) {
          rest[k] -= component[k] / static_cast<double>(count);
        }
      }

      EXPECT_GT(count, 1U);
      EXPECT_LT(largest(rest), 1e-13) << problem->describe();
    }
  }
}

TEST(ConvexProblem, DualGradientIsTheInverseOfTheGradient) {
  for (const auto& problem : problems()) {
    const Vector x = point(*problem);
    Vector slope(x.size());
    Vector back(x.size());
    problem->gradient(1, x, slope);
    if (!problem->has_dual()) {
      EXPECT_THROW(problem->dual_gradient(1, slope, back), Error);
      continue;
    }
    problem->dual_gradient(1, slope, back);

    for (std::size_t k = 0; k < x.size(); ++k) EXPECT_NEAR(back[k], x[k], 1e-14);
  }
}

TEST(ConvexProblem, QuadIsTheOneOfTheReference) {
  const auto problem = quad({.num_workers = 16, .dimension = 4, .mu = 1.0, .lipschitz = 10.0});
  const Vector zero(4, 0.0);
  Vector slope(4);

  problem->gradient(3, zero, slope);

  EXPECT_NEAR(slope[2], -(1.0 + 9.0 * 5.0 / 15.0) * std::cos(3.9 + 1.4), 1e-14);
}

TEST(ConvexProblem, HeterogeneityZeroGivesAllWorkersOneMinimizer) {
  const auto problem =
      random_quadratic({.num_workers = 4, .dimension = 3, .mu = 1.0, .lipschitz = 10.0}, 0.0, 3);
  Vector slope(3);

  problem->gradient(2, problem->optimum(), slope);

  EXPECT_LT(largest(slope), 1e-14);
}

TEST(LogisticProblem, GradientIsTheSlopeOfTheLoss) {
  // One sample (a, b) and mu: log(1 + exp(-b a x)) + mu / 2 x^2.
  Samples one{.name = "one", .dimension = 1};
  one.features.push_back({0, 2.0});
  one.end_row(-1.0);
  const LogisticProblem problem({one}, {.mu = 0.5});
  const auto loss = [](double x) { return std::log1p(std::exp(2.0 * x)) + 0.25 * x * x; };
  constexpr double kStep = 1e-5;
  for (const double x : {-3.0, 0.0, 0.7}) {
    Vector slope(1);
    problem.gradient(0, Vector{x}, slope);

    EXPECT_NEAR(slope[0], (loss(x + kStep) - loss(x - kStep)) / (2 * kStep), 1e-9);
  }
  EXPECT_DOUBLE_EQ(problem.lipschitz(), 1.5);
}

TEST(LogisticProblem, HasTheCurvatureThatWasAskedFor) {
  const auto given = logistic(0.1, 2.0);
  const LogisticProblem of_data(
      synthetic_samples({.num_workers = 2, .samples_per_worker = 9, .dimension = 3}),
      {.condition = 100.0});

  EXPECT_DOUBLE_EQ(given->mu(), 0.1);
  EXPECT_DOUBLE_EQ(given->lipschitz(), 2.0);
  EXPECT_NEAR(of_data.lipschitz() / of_data.mu(), 100.0, 1e-9);
}

TEST(ConvexProblem, RefusesWrongCurvature) {
  const auto make = [](double mu, double lipschitz) {
    static_cast<void>(quad({.num_workers = 2, .dimension = 1, .mu = mu, .lipschitz = lipschitz}));
  };

  expect_throw<Error>([&] { make(0.0, 1.0); }, {"mu is 0", "positive"});
  expect_throw<Error>([&] { make(-1.0, 1.0); }, {"mu is -1"});
  expect_throw<Error>([&] { make(3.0, 2.0); }, {"mu is 3", "L is 2"});
  expect_throw<Error>([&] { make(std::nan(""), 2.0); }, {"mu is nan"});
  expect_throw<Error>([&] { static_cast<void>(logistic(-1.0, 2.0)); }, {"mu is -1"});
  expect_throw<Error>([&] { static_cast<void>(logistic(3.0, 2.0)); }, {"mu is 3", "L is 2"});
  expect_throw<Error>(
      [&] {
        QuadraticProblem({{1.0, 20.0}}, {{0.0, 0.0}}, 1.0, 10.0);
      },
      {"Row 0 of h", "20"});
  expect_throw<Error>(
      [&] {
        QuadraticProblem({{1.0, 2.0}}, {{0.0}}, 1.0, 10.0);
      },
      {"Row 0 of c", "1 numbers in place of 2"});
}

TEST(LogisticProblem, RefusesFeaturesThatAreTooLargeOrSmallToComputeWith) {
  const auto make = [](double value) {
    Samples one{.name = "one", .dimension = 1};
    one.features.push_back({0, value});
    one.end_row(-1.0);
    return LogisticProblem({one}, {.mu = {}});
  };
  expect_throw<Error>([&] { make(1e160); }, {"largest feature of 'one' is 1e+160", "between"});
  expect_throw<Error>([&] { make(1e-160); }, {"largest feature of 'one' is 1e-160", "between"});
  expect_throw<Error>([&] { make(0.0); }, {"All features of 'one' are 0"});
  for (const double value : {1e50, 1e-50}) EXPECT_GT(make(value).lipschitz(), 0.0);
}

Samples read(const std::string& text) {
  std::istringstream stream(text);
  return read_libsvm(stream, "data.txt");
}

TEST(Libsvm, ReadsLabelsAndSparseRows) {
  const Samples samples = read("# two classes\n+1 1:0.5 3:-2e-1\n\n2 2:1 # here\n1\n");

  ASSERT_EQ(samples.size(), 3U);
  EXPECT_EQ(samples.dimension, 3U);
  EXPECT_THAT(samples.labels, testing::ElementsAre(-1.0, 1.0, -1.0));
  ASSERT_EQ(samples.row(0).size(), 2U);
  EXPECT_EQ(samples.row(0)[1].index, 2U);
  EXPECT_EQ(samples.row(0)[1].value, -0.2);
  EXPECT_EQ(samples.row(2).size(), 0U);
}

TEST(Libsvm, NamesFileLineAndWhatWasExpected) {
  const std::vector<std::pair<std::string, std::string>> faults{
      {"1 1:0.5\n-1 1;0.5\n", "data.txt:2: '1;0.5' is not INDEX:VALUE"},
      {"1 1:0.5\n-1 0:0.5\n", "data.txt:2: '0:0.5' is not INDEX:VALUE"},
      {"1 1:0.5\n-1 4294967295:1\n",
       "data.txt:2: '4294967295:1' is not INDEX:VALUE with a whole INDEX between 1 and 16777216"},
      {"1 1:0.5\n-1 16777217:1\n", "data.txt:2: '16777217:1' is not INDEX:VALUE"},
      {"1 1:0.5\n-1 18446744073709551617:1\n", "data.txt:2: '18446744073709551617:1' is not"},
      {"1 1:0.5\n-1 1:1e999\n", "data.txt:2: '1:1e999' is not INDEX:VALUE"},
      {"1 1:0.5\n-1 1:x\n", "data.txt:2: '1:x' is not INDEX:VALUE"},
      {"1 1:0.5\n-1 1:nan\n", "data.txt:2: '1:nan' is not INDEX:VALUE"},
      {"1 1:0.5\n\nyes 1:2\n", "data.txt:3: 'yes' is not a label"},
      {"1 2:0.5 1:3\n", "data.txt:1: '1:3' is not above the index before it"},
      {"1 1:1\n2 1:1\n3 1:1\n", "data.txt:3: the label 3 is a third one"},
      {"1 1:1\n1 1:1\n", "data.txt:2: the file ends, and all labels are 1"},
      {"# nothing\n", "data.txt:1: the file ends, but no sample was found"},
  };
  for (const auto& [text, message] : faults) {
    expect_throw<Error>([&] { static_cast<void>(read(text)); }, {message});
  }
  expect_throw<Error>([] { static_cast<void>(read_libsvm("no_such_file.txt")); },
                      {"no_such_file.txt"});
  expect_throw<Error>([] { static_cast<void>(read_libsvm("/")); },
                      {"/:0: the file cannot be read any further"});
}

/// Two lines, and then an error of the disk.
class FailingBuffer final : public std::streambuf {
 private:
  int_type underflow() override {
    if (gptr() != nullptr) throw std::runtime_error("of the disk");
    setg(text_.data(), text_.data(), text_.data() + text_.size());
    return traits_type::to_int_type(*gptr());
  }

  std::string text_ = "1 1:1\n-1 1:2\n";
};

TEST(Libsvm, AFileThatCannotBeReadToItsEndIsNotTakenForAShortOne) {
  FailingBuffer buffer;
  std::istream stream(&buffer);
  expect_throw<Error>([&] { static_cast<void>(read_libsvm(stream, "data.txt")); },
                      {"data.txt:2:", "cannot be read any further"});
}

TEST(Samples, SplitDealsEverySampleOnceAndByLabelWhereAsked) {
  Samples all{.name = "all", .dimension = 1};
  for (int i = 0; i < 20; ++i) {
    all.features.push_back({0, static_cast<double>(i)});
    all.end_row(i % 2 == 0 ? 1.0 : -1.0);
  }

  const auto mixed = split(all, 4, 0.0, 1);
  const auto sorted = split(all, 4, 1.0, 1);

  for (const auto& parts : {mixed, sorted}) {
    std::vector<int> seen(20, 0);
    for (const Samples& part : parts) {
      EXPECT_EQ(part.size(), 5U);
      for (const auto& feature : part.features) ++seen[static_cast<std::size_t>(feature.value)];
    }
    EXPECT_THAT(seen, testing::Each(1));
  }
  for (const Samples& part : sorted) {
    EXPECT_EQ(std::abs(std::accumulate(part.labels.begin(), part.labels.end(), 0.0)), 5.0);
  }
  EXPECT_THROW(static_cast<void>(split(all, 21, 0.0, 1)), Error);
  EXPECT_THROW(static_cast<void>(split(all, 2, 1.5, 1)), Error);
}

}  // namespace
}  // namespace gossip::examples
