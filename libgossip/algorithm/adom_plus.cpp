// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <numbers>

#include <libgossip/algorithm/adom_plus.h>
#include <libgossip/algorithm/convexity.h>
#include <libgossip/base/error.h>
#include <libgossip/topology/spectral.h>

namespace gossip::algorithm {
namespace {

constexpr int kX = kFirstState;
constexpr int kXf = kFirstState + 1;
constexpr int kY = kFirstState + 2;
constexpr int kYf = kFirstState + 3;  // y_g while a step goes
constexpr int kZ = kFirstState + 4;
constexpr int kZf = kFirstState + 5;  // z_g while a step goes
constexpr int kMemory = kFirstState + 6;
constexpr int kSum = kFirstState + 7;  // y_g + z_g

std::vector<Stage> first_models() {
  return {combine(kX, {{kModel, 1.0}}), combine(kXf, {{kModel, 1.0}})};
}

/// To the point of the gradient and its counterparts in y and z.
std::vector<Stage> extrapolation(const ADOMPlusConstants& c) {
  return {combine(kModel, {{kX, c.tau1}, {kXf, 1.0 - c.tau1}}), evaluate(),
          combine(kYf, {{kY, c.sigma1}, {kYf, 1.0 - c.sigma1}}),
          combine(kZf, {{kZ, c.sigma1}, {kZf, 1.0 - c.sigma1}}),
          combine(kSum, {{kYf, 1.0}, {kZf, 1.0}})};
}

/// The two equations: the first solved for x+ with y+ eliminated, the second for y+ given x+.
std::vector<Stage> implicit_step(const ADOMPlusConstants& c) {
  const double x_share = 1.0 + c.eta * c.alpha;
  const double y_share = 1.0 + c.theta * c.beta;
  const double determinant = x_share * y_share + c.eta * c.theta;
  return {combine(kXf, {{kModel, 1.0}, {kX, -c.tau2}}),
          combine(kYf, {{kYf, 1.0}, {kY, -c.sigma2}}),
          combine(kX, {{kX, y_share / determinant},
                       {kModel, c.eta * (c.alpha * y_share + c.nu) / determinant},
                       {kGradient, -c.eta / determinant},
                       {kY, c.eta / determinant},
                       {kSum, -c.eta * c.theta / c.nu / determinant}}),
          combine(kY, {{kY, 1.0 / y_share},
                       {kGradient, c.theta * c.beta / y_share},
                       {kModel, -c.theta * c.beta * c.nu / y_share},
                       {kSum, -c.theta / c.nu / y_share},
                       {kX, -c.theta / y_share}}),
          combine(kXf, {{kXf, 1.0}, {kX, c.tau2}}),
          combine(kYf, {{kYf, 1.0}, {kY, c.sigma2}})};
}

/// W v is v less its mixture, so that both products with W take one message.
std::vector<Stage> consensus(const ADOMPlusConstants& c) {
  std::vector<Stage> stages{
      combine(kMemory, {{kMemory, 1.0}, {kSum, c.gamma / c.nu}}),
      combine(kZ, {{kZ, 1.0 - c.gamma * c.delta}, {kZf, c.gamma * c.delta}, {kMemory, -1.0}}),
      combine(kZf, {{kZf, 1.0}, {kSum, -c.zeta}})};
  for (int round = 0; round < c.rounds; ++round) stages.push_back(mix({kMemory, kSum}));
  stages.push_back(combine(kZ, {{kZ, 1.0}, {kMemory, 1.0}}));
  stages.push_back(combine(kZf, {{kZf, 1.0}, {kSum, c.zeta}}));
  return stages;
}

std::vector<Stage> step(const ADOMPlusConstants& constants, bool is_first) {
  std::vector<Stage> stages;
  const auto append = [&](std::vector<Stage> more) {
    stages.insert(stages.end(), more.begin(), more.end());
  };
  if (is_first) append(first_models());
  append(extrapolation(constants));
  append(implicit_step(constants));
  append(consensus(constants));
  stages.push_back(combine(kModel, {{kX, 1.0}}));
  return stages;
}

}  // namespace

ADOMPlusConstants adom_plus_constants(double mu, double smoothness, double chi,
                                      Consensus consensus) {
  check_convexity(mu, smoothness);
  check_chi(chi);
  ADOMPlusConstants c;
  if (consensus == Consensus::kMulti) {
    c.rounds = static_cast<int>(std::ceil(chi * std::numbers::ln2));
    if (c.rounds > 1) chi = 2.0;
  }
  c.nu = c.alpha = mu / 2.0;
  c.tau2 = std::sqrt(mu / smoothness);
  c.tau1 = 1.0 / (1.0 / c.tau2 + 0.5);
  c.sigma2 = c.tau2 / (16.0 * chi);
  c.sigma1 = 1.0 / (1.0 / c.sigma2 + 0.5);
  c.eta = 1.0 / (smoothness * c.tau2);
  c.beta = 1.0 / (2.0 * smoothness);
  c.delta = 1.0 / (17.0 * smoothness);
  c.gamma = c.nu / (14.0 * c.sigma2 * chi * chi);
  c.theta = c.nu / (4.0 * c.sigma2);
  c.zeta = 0.5;
  return c;
}

ADOMPlusConstants adom_plus_constants(double mu, double smoothness, const topology::Graph& graph,
                                      Consensus consensus) {
  return adom_plus_constants(mu, smoothness, topology::laplacian_spectrum(graph).chi(), consensus);
}

ADOMPlus::ADOMPlus(const ADOMPlusConstants& constants)
    : Algorithm({.name = "adom-plus",
                 .mixing_needs = MixingNeeds::kSymmetric,
                 .state = {"x", "x_f", "y", "y_f", "z", "z_f", "memory", "sum"},
                 .kinds = {step(constants, true), step(constants, false)}}) {
  GOSSIP_CHECK(constants.rounds >= 1, "ADOM+ mixes {} times a step: it must be at least 1.",
               constants.rounds);
}

}  // namespace gossip::algorithm
