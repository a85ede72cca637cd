// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <limits>
#include <support/expect_throw.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/algorithm/dadao.h>
#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/topology/families.h>

namespace gossip::algorithm {
namespace {

template <class T>
using Six = std::array<std::vector<T>, 6>;

template <class T>
std::array<VectorView, 6> views(Six<T>& vectors) {
  std::array<VectorView, 6> result;
  for (std::size_t v = 0; v < 6; ++v) result[v] = std::span<T>(vectors[v]);
  return result;
}

template <class T>
Six<T> random_state(std::size_t size, std::uint64_t seed) {
  SplitMix64 generator(seed);
  Six<T> state;
  for (std::vector<T>& vector : state) {
    for (std::size_t k = 0; k < size; ++k) {
      vector.push_back(static_cast<T>(2.0 * generator.unit() - 1.0));
    }
  }
  return state;
}

DADAO method_of(const topology::Graph& graph, double safety = 1.0) {
  return DADAO(dadao_constants(1.0, 10.0, graph, safety));
}

TEST(DADAOConstants, AreThoseOfThePaper) {
  const auto graph = topology::ring(4);
  const DADAOConstants c = dadao_constants(1.0, 10.0, graph, 1.0);
  const double s = std::sqrt(0.05);

  EXPECT_NEAR(c.rate, std::sqrt(6.0), 1e-12);
  EXPECT_NEAR(c.chi1, 2.0, 1e-12);  // of the probabilities: 4 / (2 (1 - cos(pi / 2)))
  EXPECT_NEAR(c.chi2, 1.5, 1e-12);
  EXPECT_DOUBLE_EQ(c.nu, 0.5);
  EXPECT_DOUBLE_EQ(c.s, s);
  EXPECT_DOUBLE_EQ(c.eta, s / 8);
  EXPECT_DOUBLE_EQ(c.alpha, s / 4);
  EXPECT_DOUBLE_EQ(c.alpha_tilde, s / 8);
  EXPECT_DOUBLE_EQ(c.theta, 1 / (2 * s));
  EXPECT_DOUBLE_EQ(c.gamma, 1.0 / 40);
  EXPECT_DOUBLE_EQ(c.gamma_tilde, 1.0 / (40 * s));
  EXPECT_DOUBLE_EQ(c.delta, 1 + s / 4);
  EXPECT_DOUBLE_EQ(c.beta, 0.5);
  EXPECT_NEAR(c.beta_tilde, 2 * 2 / std::sqrt(6.0) / s, 1e-12);
}

TEST(DADAOConstants, TwiceTheEventsMoveHalfAsMuch) {
  const auto graph = topology::path(5);
  const DADAOConstants once = dadao_constants(0.1, 3.0, graph, 1.0);
  const DADAOConstants twice = dadao_constants(0.1, 3.0, graph);

  EXPECT_NEAR(twice.rate, 2 * once.rate, 1e-12 * once.rate);
  EXPECT_NEAR(twice.beta_tilde, once.beta_tilde / 2, 1e-12 * once.beta_tilde);
}

TEST(DADAOConstants, TheLeastRateIsThatOfTheClosedForms) {
  const auto least = [](const topology::Graph& graph) {
    return dadao_least_rate(topology::chi_edge_probability(graph));
  };
  for (const int n : {3, 5, 8, 16}) {
    EXPECT_NEAR(least(topology::complete(n)), (n - 1) / std::sqrt(2.0), 1e-9) << n;
    EXPECT_NEAR(least(topology::star(n)), n - 1, 1e-9) << n;
    EXPECT_NEAR(least(topology::ring(n)),
                std::sqrt(n * (n - 1) / (2 * (1 - std::cos(2 * M_PI / n)))), 1e-9)
        << n;
    EXPECT_NEAR(least(topology::path(n)), (n - 1) / std::sqrt(2 * (1 - std::cos(M_PI / n))), 1e-9)
        << n;
  }
}

TEST(DADAOConstants, AreRefusedWhereTheMethodWouldDiverge) {
  const auto graph = topology::ring(4);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto expect_error = [](auto&& action, const char* part) {
    test::expect_throw<Error>([&] { static_cast<void>(action()); }, {part});
  };

  expect_error([&] { return dadao_constants(0.0, 1.0, graph); },
               "mu is 0: the losses must be strongly convex");
  expect_error([&] { return dadao_constants(-1.0, 1.0, graph); }, "mu is -1");
  expect_error([&] { return dadao_constants(2.0, 1.0, graph); }, "L is 1 and mu is 2");
  expect_error([&] { return dadao_constants(nan, 1.0, graph); }, "mu is nan");
  expect_error([&] { return dadao_constants(1.0, nan, graph); }, "L is nan and mu is 1");
  expect_error([&] { return dadao_constants(1.0, 2.0, graph, 0.9); },
               "The safety factor is 0.9: below 1");
  expect_error(
      [&] {
        return dadao_constants(1.0, 2.0, {1.0, 1.0}, 0.0);
      },
      "The rate of pair events is 0");
  expect_error([&] { return dadao_constants(1.0, 2.0, {0.0, 1.0}, 1.0); }, "chi1 = 0");
  expect_error(
      [&] {
        return dadao_constants(1.0, 2.0, topology::Graph::undirected(3, {{0, 1}}));
      },
      "");
}

TEST(DADAO, FlowsAsTheMatrixExponentialDoes) {
  const DADAO method = method_of(topology::ring(4));
  // Row r, column v: what one unit of vector v adds to vector r.
  const auto row = [&](std::size_t r) {
    std::array<double, 6> result{};
    for (std::size_t v = 0; v < 6; ++v) {
      Six<double> state;
      for (std::vector<double>& vector : state) vector = {0.0};
      state[v] = {1.0};
      method.flow(views(state), 0.3);
      result[v] = state[r].front();
    }
    return result;
  };
  const std::array<double, 6> x{0.991684666168, 0.008315333832, 0, 0, 0, 0};
  const std::array<double, 6> y{-0.000007791205, -0.002786434016, 0.977812046714,
                                0.016599502844,  -0.005557350746, -0.000031099696};
  const std::array<double, 6> y_tilde{-0.00139711261, -0.333387169484, -0.663980113746,
                                      0.994411549558, -0.663995663594, -0.005572900594};
  for (std::size_t v = 0; v < 6; ++v) {
    EXPECT_NEAR(row(0)[v], x[v], 1e-12) << v;
    EXPECT_NEAR(row(2)[v], y[v], 1e-12) << v;
    EXPECT_NEAR(row(3)[v], y_tilde[v], 1e-12) << v;
  }
}

TEST(DADAO, TwoFlowsAreOneOfTheirSum) {
  for (const double kappa : {1.0, 10.0, 1000.0}) {
    const DADAO method(dadao_constants(1.0, kappa, topology::ring(8), 1.0));
    Six<double> once = random_state<double>(5, 1);
    Six<double> twice = once;

    method.flow(views(once), 2.9);
    method.flow(views(twice), 0.7);
    method.flow(views(twice), 2.2);

    for (std::size_t v = 0; v < 6; ++v) {
      for (std::size_t k = 0; k < 5; ++k) EXPECT_NEAR(once[v][k], twice[v][k], 1e-12) << v;
    }
  }
}

TEST(DADAO, FlowAndEventsKeepTheWeightedSumOfZ) {
  const DADAO method = method_of(topology::ring(4));
  const DADAOConstants& c = method.constants();
  Six<double> a = random_state<double>(7, 1);
  Six<double> b = random_state<double>(7, 2);
  const auto sum = [&](std::size_t k) {
    return c.alpha_tilde * (a[4][k] + b[4][k]) + c.alpha * (a[5][k] + b[5][k]);
  };
  std::array<double, 7> before{};
  for (std::size_t k = 0; k < 7; ++k) before[k] = sum(k);
  std::vector<double> m(7);
  std::vector<double> other(7);

  for (int event = 0; event < 100; ++event) {
    method.flow(views(a), 0.1);
    method.flow(views(b), 0.4);
    method.write_payload(views(a), std::span<double>(m));
    method.write_payload(views(b), std::span<double>(other));
    for (std::size_t k = 0; k < 7; ++k) m[k] -= other[k];
    method.jump(views(a), std::span<double>(m), 1.0);
    method.flow(views(b), 0.2);  // its half comes later
    method.jump(views(b), std::span<double>(m), -1.0);
  }

  for (std::size_t k = 0; k < 7; ++k) EXPECT_NEAR(sum(k), before[k], 1e-12) << k;
}

TEST(DADAO, APairEventMovesZAndItsTildeByTheDifferenceOfYPlusZ) {
  const DADAO method = method_of(topology::ring(4));
  const DADAOConstants& c = method.constants();
  Six<double> state = random_state<double>(19, 5);
  const Six<double> before = state;
  std::vector<double> payload(19);

  method.write_payload(views(state), std::span<double>(payload));
  for (std::size_t k = 0; k < 19; ++k) EXPECT_EQ(payload[k], before[2][k] + before[4][k]) << k;

  for (const double sign : {1.0, -1.0}) {
    state = before;
    std::vector<double> difference(19, 0.25);
    method.jump(views(state), std::span<double>(difference), sign);
    for (std::size_t k = 0; k < 19; ++k) {
      EXPECT_NEAR(state[4][k], before[4][k] - sign * c.beta * 0.25, 1e-15);
      EXPECT_NEAR(state[5][k], before[5][k] - sign * c.beta_tilde * 0.25, 1e-15);
    }
    for (const std::size_t v : {0U, 1U, 2U, 3U}) EXPECT_EQ(state[v], before[v]) << v;
  }
}

TEST(DADAO, StepsAlongWhatIsLeftOfTheGradient) {
  const DADAO method = method_of(topology::ring(4));
  const DADAOConstants& c = method.constants();
  Six<double> state = random_state<double>(19, 3);
  const Six<double> before = state;
  std::vector<double> gradient(19, 0.25);

  const double squares = method.gradient_event(views(state), std::span<double>(gradient));

  double expected = 0.0;
  for (std::size_t k = 0; k < 19; ++k) {
    const double q = 0.25 - c.nu * before[0][k] - before[3][k];
    expected += q * q;
    EXPECT_NEAR(state[0][k], before[0][k] - c.gamma * q, 1e-15);
    EXPECT_NEAR(state[1][k], before[1][k] - c.gamma_tilde * q, 1e-15);
    EXPECT_EQ(state[2][k], before[2][k]);
    EXPECT_NEAR(state[3][k], before[3][k] + c.delta * q, 1e-15);
  }
  EXPECT_NEAR(squares, expected, 1e-14 * expected);
  EXPECT_EQ(state[4], before[4]);
  EXPECT_EQ(state[5], before[5]);
}

TEST(DADAO, FloatsAreRoundedDoubles) {
  const DADAO method = method_of(topology::ring(4));
  Six<double> exact = random_state<double>(1000, 4);
  Six<float> rounded = random_state<float>(1000, 4);
  std::vector<double> gradient(1000, 0.5);
  std::vector<float> gradient_f(1000, 0.5F);

  for (int step = 0; step < 10; ++step) {
    method.flow(views(exact), 0.3);
    method.flow(views(rounded), 0.3);
    method.local_step(views(exact), std::span<double>(gradient));
    method.local_step(views(rounded), std::span<float>(gradient_f));
  }

  for (std::size_t v = 0; v < 6; ++v) {
    for (std::size_t k = 0; k < 1000; ++k) EXPECT_NEAR(rounded[v][k], exact[v][k], 2e-5) << v;
  }
}

TEST(DADAO, TheFixedPointStays) {
  const DADAO method = method_of(topology::ring(4));
  const double nu = method.constants().nu;
  const double optimum = 0.7;
  const double gradient = -1.3;  // at the optimum
  const std::array<double, 6> values{
      optimum, optimum, gradient - nu * optimum, gradient - nu * optimum, -gradient, -gradient};
  Six<double> state;
  for (std::size_t v = 0; v < 6; ++v) state[v] = {values[v]};
  std::vector<double> local{gradient};

  method.flow(views(state), 5.0);
  EXPECT_NEAR(method.gradient_event(views(state), std::span<double>(local)), 0.0, 1e-28);

  for (std::size_t v = 0; v < 6; ++v) EXPECT_NEAR(state[v].front(), values[v], 1e-14) << v;
}

/// A guard that is shown |q|^2 after |q|^2, at three quarters of the events planned.
class Guarded {
 public:
  /// `count` times from `first` on, each `factor` times the one before.
  void show(int count, double first, double factor = 1.0) {
    for (int i = 0; i < count; ++i, first *= factor) guard_.check(first, method_, 0.75);
  }

 private:
  DADAO method_ = method_of(topology::ring(4));  // 8 / s is 36 steps
  DivergenceGuard guard_;
};

TEST(DivergenceGuard, SaysThatSquaresGrowAndNamesTheRates) {
  Guarded guarded;
  guarded.show(36, 2.0);

  test::expect_throw<Error>(
      [&] { guarded.show(200, 2.0, 2.0); },
      {"DADAO diverges", "2.449 planned, 1.837 achieved, 2.449 needed", "mu = 1 and L = 10"});
  test::expect_throw<Error>([] { Guarded().show(1, std::numeric_limits<double>::quiet_NaN()); },
                            {"|q|^2 is nan"});
  test::expect_throw<Error>([] { Guarded().show(1, std::numeric_limits<double>::infinity()); },
                            {"|q|^2 is inf"});
}

TEST(DivergenceGuard, BearsWhatConvergesOrStays) {
  Guarded guarded;

  guarded.show(1000, 1e4, 0.9);
  guarded.show(1000, 1e8);

  Guarded uneven;
  uneven.show(1, 1.0);
  uneven.show(35, 1e-24);
  uneven.show(100, 1e-12);
  uneven.show(100, 1.0);
}

TEST(DivergenceGuard, BearsAWorkerThatHasNoGradientAtFirst) {
  Guarded guarded;
  guarded.show(200, 0.0);

  guarded.show(36, 1e-20, 4.0);
  guarded.show(1000, 10.0);

  test::expect_throw<Error>([&] { guarded.show(200, 10.0, 2.0); }, {"DADAO diverges"});
}

TEST(DivergenceGuard, BearsOtherDataAfterAStateThatHadConverged) {
  Guarded guarded;
  guarded.show(200, 1e-24);

  guarded.show(1000, 0.1);

  test::expect_throw<Error>([&] { guarded.show(200, 0.1, 2.0); }, {"DADAO diverges"});
}

}  // namespace
}  // namespace gossip::algorithm
