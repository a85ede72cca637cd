// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/algorithm/a2cid2.h>
#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/topology/families.h>

namespace gossip::algorithm {
namespace {

using testing::HasSubstr;

template <class T>
VectorView view(std::vector<T>& values) {
  return std::span<T>(values);
}

std::vector<double> random_vector(std::size_t size, std::uint64_t seed) {
  SplitMix64 generator(seed);
  std::vector<double> values(size);
  for (double& value : values) value = 2.0 * generator.unit() - 1.0;
  return values;
}

/// The message of the gossip::Error that `action` throws.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(ADPSGD, BothEndsOfAnEventBecomeTheAverage) {
  const ADPSGD method;
  std::vector<float> a{1.0F, -4.0F, 8.0F};
  std::vector<float> b{3.0F, 2.0F, -8.0F};
  std::vector<float> m{-2.0F, -6.0F, 16.0F};

  method.jump(std::array{view(a)}, view(m), 1.0);
  method.jump(std::array{view(b)}, view(m), -1.0);

  EXPECT_EQ(a, (std::vector<float>{2.0F, -1.0F, 0.0F}));
  EXPECT_EQ(b, a);
  method.flow(std::array{view(a)}, 10.0);
  EXPECT_EQ(b, a);
  EXPECT_EQ(method.name(), "ad-psgd");
  EXPECT_EQ(method.num_vectors(), 1);
}

TEST(A2CiD2, FlowIsTheSolutionOfItsEquation) {
  const A2CiD2 method({.eta = 0.3, .alpha = 0.5, .alpha_tilde = 2.0});
  std::vector<double> x{1.0, 0.0};
  std::vector<double> momentum{3.0, -1.0};

  method.flow(std::array{view(x), view(momentum)}, 0.7);

  const double decay = std::exp(-2.0 * 0.3 * 0.7);
  EXPECT_NEAR(x[0], 2.0 - decay, 1e-15);
  EXPECT_NEAR(momentum[0], 2.0 + decay, 1e-15);
  EXPECT_NEAR(x[1], -0.5 + 0.5 * decay, 1e-15);
  EXPECT_NEAR(momentum[1], -0.5 - 0.5 * decay, 1e-15);
}

TEST(A2CiD2, FlowsAddUp) {
  const A2CiD2 method({.eta = 0.3, .alpha = 0.5, .alpha_tilde = 2.0});
  std::vector<double> x = random_vector(100, 1);
  std::vector<double> momentum = random_vector(100, 2);
  std::vector<double> x_once = x;
  std::vector<double> momentum_once = momentum;

  method.flow(std::array{view(x), view(momentum)}, 0.4);
  method.flow(std::array{view(x), view(momentum)}, 1.1);
  method.flow(std::array{view(x_once), view(momentum_once)}, 1.5);

  for (std::size_t k = 0; k < x.size(); ++k) {
    ASSERT_NEAR(x[k], x_once[k], 1e-15);
    ASSERT_NEAR(momentum[k], momentum_once[k], 1e-15);
  }
}

TEST(A2CiD2, JumpMovesBothVectorsByTheirShares) {
  const A2CiD2 method({.eta = 0.3, .alpha = 0.5, .alpha_tilde = 2.0});
  std::vector<float> x{1.0F};
  std::vector<float> momentum{5.0F};
  std::vector<float> m{0.5F};

  method.jump(std::array{view(x), view(momentum)}, view(m), -1.0);

  EXPECT_EQ(x[0], 1.25F);
  EXPECT_EQ(momentum[0], 6.0F);
  EXPECT_EQ(method.name(), "a2cid2");
  EXPECT_EQ(method.num_vectors(), 2);
}

/// Drivers may keep the state relative to any vector: see PairAlgorithm.
TEST(PairAlgorithms, CommuteWithShiftsOfTheWholeState) {
  const A2CiD2 method(a2cid2_constants(topology::ring(8)));
  std::vector<double> x = random_vector(50, 1);
  std::vector<double> momentum = random_vector(50, 2);
  std::vector<double> m = random_vector(50, 3);
  const std::vector<double> shift = random_vector(50, 4);
  std::vector<double> x_shifted = x;
  std::vector<double> momentum_shifted = momentum;
  for (std::size_t k = 0; k < 50; ++k) {
    x_shifted[k] += shift[k];
    momentum_shifted[k] += shift[k];
  }

  for (int event = 0; event < 10; ++event) {
    method.flow(std::array{view(x), view(momentum)}, 0.3);
    method.flow(std::array{view(x_shifted), view(momentum_shifted)}, 0.3);
    method.jump(std::array{view(x), view(momentum)}, view(m), 1.0);
    method.jump(std::array{view(x_shifted), view(momentum_shifted)}, view(m), 1.0);
  }

  for (std::size_t k = 0; k < 50; ++k) {
    ASSERT_NEAR(x_shifted[k] - shift[k], x[k], 1e-13);
    ASSERT_NEAR(momentum_shifted[k] - shift[k], momentum[k], 1e-12);
  }
}

TEST(A2CiD2Constants, HaveTheTabulatedValues) {
  struct Row {
    int size;
    double eta;
    double alpha_tilde;
  };
  for (const Row& row : {Row{16, 0.142473827, 1.871688805}, Row{32, 0.070417592, 3.664773353},
                         Row{64, 0.034970367, 7.262384603}}) {
    const A2CiD2Constants constants = a2cid2_constants(topology::ring(row.size));
    EXPECT_NEAR(constants.eta, row.eta, 1e-9) << row.size;
    EXPECT_NEAR(constants.alpha_tilde, row.alpha_tilde, 1e-9) << row.size;
    EXPECT_EQ(constants.alpha, 0.5);
  }
  const A2CiD2Constants ring4 = a2cid2_constants(topology::ring(4));
  EXPECT_NEAR(ring4.eta, 0.577350269189626, 1e-13);
  EXPECT_NEAR(ring4.alpha_tilde, 0.577350269189626, 1e-13);
  EXPECT_NEAR(a2cid2_constants(topology::complete(16)).alpha_tilde, 0.5, 1e-9);
}

TEST(A2CiD2Constants, OnlyEtaGrowsWithTheRate) {
  const A2CiD2Constants once = a2cid2_constants(topology::path(9));
  const A2CiD2Constants thrice = a2cid2_constants(topology::path(9), 3.0);
  const A2CiD2Constants careful = a2cid2_constants(topology::path(9), 1.0, 0.5);

  EXPECT_NEAR(thrice.eta, 3.0 * once.eta, 1e-12);
  EXPECT_NEAR(thrice.alpha_tilde, once.alpha_tilde, 1e-12);
  EXPECT_NEAR(careful.eta, 0.5 * once.eta, 1e-15);
  EXPECT_EQ(careful.alpha_tilde, once.alpha_tilde);
}

TEST(A2CiD2Constants, OneWorkerDoesNotMove) {
  const A2CiD2 method(a2cid2_constants(topology::ring(1)));
  std::vector<double> x{1.0};
  std::vector<double> momentum{3.0};

  method.flow(std::array{view(x), view(momentum)}, 100.0);

  EXPECT_EQ(x[0], 1.0);
  EXPECT_EQ(momentum[0], 3.0);
}

TEST(A2CiD2Constants, RefuseWhatHasNone) {
  const auto islands = topology::Graph::undirected(4, {{0, 1}, {2, 3}}, "islands");
  EXPECT_THAT(error_of([&] { (void)a2cid2_constants(islands); }), HasSubstr("islands"));
  EXPECT_THAT(error_of([] { (void)a2cid2_constants(topology::directed_ring(4)); }),
              HasSubstr("directed-ring"));
  EXPECT_THAT(error_of([] { (void)a2cid2_constants(topology::ring(4), -2.5); }), HasSubstr("-2.5"));
  EXPECT_THAT(error_of([] { (void)a2cid2_constants(topology::ring(1), 0.0); }),
              HasSubstr("rate of pair events is 0"));
  EXPECT_THAT(error_of([] { (void)a2cid2_constants(topology::ring(4), 1.0, 0.0); }),
              HasSubstr("factor on eta is 0"));
  EXPECT_THAT(error_of([] { (void)a2cid2_constants(1.0, -3.0); }), HasSubstr("chi2 = -3"));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(error_of([&] { (void)a2cid2_constants(nan, 1.0); }), HasSubstr("chi1 = nan"));
}

TEST(A2CiD2, RefusesConstantsThatAreNone) {
  EXPECT_THAT(error_of([] { const A2CiD2 method({.eta = -1.0}); }), HasSubstr("eta is -1"));
  EXPECT_THAT(error_of([] { const A2CiD2 method({.alpha = 0.0}); }), HasSubstr("alpha is 0"));
  EXPECT_THAT(error_of([] { const A2CiD2 method({.alpha_tilde = -4.0}); }),
              HasSubstr("alpha_tilde is -4"));
}

}  // namespace
}  // namespace gossip::algorithm
