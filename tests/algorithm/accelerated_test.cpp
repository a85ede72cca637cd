// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <variant>

#include <gtest/gtest.h>

#include <libgossip/algorithm/adom_plus.h>
#include <libgossip/algorithm/interpret.h>
#include <libgossip/algorithm/msda.h>
#include <libgossip/base/error.h>
#include <libgossip/topology/families.h>

#include "support/expect_throw.h"

namespace gossip::algorithm {
namespace {

using test::expect_throw;
using topology::Graph;

constexpr double kTolerance = 1e-12;

int num_mixings(const Algorithm& algorithm, std::int64_t step) {
  int mixings = 0;
  for (const Stage& stage : algorithm.stages(step))
    mixings += std::holds_alternative<Mix>(stage) ? 1 : 0;
  return mixings;
}

TEST(ADOMPlus, TakesItsConstantsFromTheLossesAndTheGraph) {
  const ADOMPlusConstants c = adom_plus_constants(1.0, 4.0, 2.0);

  EXPECT_EQ(c.nu, 0.5);
  EXPECT_EQ(c.alpha, 0.5);
  EXPECT_EQ(c.tau2, 0.5);
  EXPECT_NEAR(c.tau1, 0.4, kTolerance);
  EXPECT_NEAR(c.sigma2, 1.0 / 64.0, kTolerance);
  EXPECT_NEAR(c.sigma1, 1.0 / 64.5, kTolerance);
  EXPECT_EQ(c.eta, 0.5);
  EXPECT_EQ(c.beta, 0.125);
  EXPECT_NEAR(c.delta, 1.0 / 68.0, kTolerance);
  EXPECT_NEAR(c.gamma, 32.0 / 56.0, kTolerance);
  EXPECT_NEAR(c.theta, 8.0, kTolerance);
  EXPECT_EQ(c.zeta, 0.5);
  EXPECT_EQ(c.rounds, 1);

  const Graph star = topology::star(16);
  EXPECT_NEAR(adom_plus_constants(1.0, 4.0, star).sigma2, 0.5 / (16.0 * 16.0), kTolerance);
}

TEST(ADOMPlus, MixesOftenEnoughForAChiOf2) {
  const ADOMPlusConstants star =
      adom_plus_constants(1.0, 4.0, topology::star(16), Consensus::kMulti);
  const ADOMPlusConstants complete =
      adom_plus_constants(1.0, 4.0, topology::complete(16), Consensus::kMulti);

  EXPECT_EQ(star.rounds, 12) << "16 ln 2 = 11.09";
  EXPECT_NEAR(star.sigma2, 1.0 / 64.0, kTolerance);
  EXPECT_EQ(num_mixings(ADOMPlus(star), 0), 12);
  EXPECT_EQ(num_mixings(ADOMPlus(star), 7), 12);
  EXPECT_EQ(complete.rounds, 1);
  EXPECT_NEAR(complete.sigma2, 1.0 / 32.0, kTolerance) << "chi stays 1";
}

TEST(MSDA, TakesItsConstantsFromTheLossesAndTheGraph) {
  const MSDAConstants star = msda_constants(1.0, 9.0, topology::star(16));
  const double power = std::pow(0.6, 4);  // (1 - 1/4) / (1 + 1/4)

  EXPECT_NEAR(star.gamma, 1.0 / 16.0, kTolerance);
  EXPECT_EQ(star.rounds, 4) << "also when chi = 16 is rounded";
  EXPECT_NEAR(star.step, (1.0 + power * power) / ((1.0 + power) * (1.0 + power)), kTolerance);
  EXPECT_NEAR(star.momentum,
              ((1.0 + power) * 3.0 - 1.0 + power) / ((1.0 + power) * 3.0 + 1.0 - power),
              kTolerance);
  EXPECT_EQ(num_mixings(MSDA(star), 0), 4);

  const MSDAConstants complete = msda_constants(1.0, 9.0, topology::complete(16));
  EXPECT_EQ(complete.rounds, 1);
  EXPECT_NEAR(complete.step, 1.0, kTolerance);
  EXPECT_NEAR(complete.momentum, 0.5, kTolerance);
}

TEST(Accelerated, MethodsHaveNoLocalUpdateAndNeedOneSymmetricMatrix) {
  const Graph ring = topology::ring(5);
  const ADOMPlus primal(adom_plus_constants(1.0, 2.0, ring));
  const MSDA dual(msda_constants(1.0, 2.0, ring));
  for (const Algorithm* method :
       {static_cast<const Algorithm*>(&primal), static_cast<const Algorithm*>(&dual)}) {
    EXPECT_EQ(method->mixing_needs(), MixingNeeds::kSymmetric);
    EXPECT_FALSE(method->uses_learning_rate());
    for (const std::vector<Stage>& stages : method->kinds()) {
      EXPECT_FALSE(has<LocalUpdate>(stages));
    }
  }
}

template <class Constants>
void expect_refusals(Constants constants) {
  const Graph ring = topology::ring(4);
  expect_throw<Error>([&] { constants(0.0, 1.0, ring); }, {"mu is 0", "positive"});
  expect_throw<Error>([&] { constants(-2.0, 1.0, ring); }, {"mu is -2", "positive"});
  expect_throw<Error>([&] { constants(std::nan(""), 1.0, ring); }, {"mu is nan"});
  expect_throw<Error>([&] { constants(3.0, 1.0, ring); },
                      {"L is 1 and mu is 3", "L must be a number of at least mu"});
  expect_throw<Error>([&] { constants(3.0, std::numeric_limits<double>::infinity(), ring); },
                      {"L is inf"});
  expect_throw<Error>(
      [&] {
        constants(1.0, 1.0, Graph::undirected(4, {{0, 1}, {2, 3}}, "halves"));
      },
      {"connected graph", "'halves' has 4 ranks that its edges do not connect"});
  expect_throw<Error>([&] { constants(1.0, 1.0, topology::directed_ring(4)); }, {"undirected"});
  expect_throw<Error>([&] { constants(1.0, 1.0, topology::ring(1)); }, {"at least 2 ranks"});
}

TEST(Accelerated, RefuseWhatIsNotStronglyConvexOrNotConnected) {
  expect_refusals([](double mu, double smoothness, const Graph& graph) {
    (void)adom_plus_constants(mu, smoothness, graph);
  });
  expect_refusals([](double mu, double smoothness, const Graph& graph) {
    (void)msda_constants(mu, smoothness, graph);
  });
  expect_throw<Error>([] { (void)msda_constants(1.0, 2.0, 0.5); }, {"chi is 0.5", "at least 1"});
  expect_throw<Error>([] { const ADOMPlus method({.rounds = 0}); }, {"mixes 0 times"});
  expect_throw<Error>([] { const MSDA method({.rounds = -1}); }, {"mixes -1 times"});
}

}  // namespace
}  // namespace gossip::algorithm
