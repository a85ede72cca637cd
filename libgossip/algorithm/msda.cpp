// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <libgossip/algorithm/convexity.h>
#include <libgossip/algorithm/msda.h>
#include <libgossip/base/error.h>
#include <libgossip/topology/spectral.h>

namespace gossip::algorithm {
namespace {

constexpr int kY = kFirstState;
constexpr int kEven = kFirstState + 1;
constexpr int kOdd = kFirstState + 2;
constexpr int kMixed = kFirstState + 3;

constexpr int polynomial_of_degree(int degree) { return degree % 2 == 0 ? kEven : kOdd; }

/// The Chebyshev recursion for T_k divided by its value at what must stay as it is, which bears
/// gamma = 1. Each mixing gives the polynomial of the next degree.
std::vector<Stage> chebyshev(const MSDAConstants& c) {
  const double own = -(1.0 - c.gamma) / (1.0 + c.gamma);
  const double mixed = 2.0 / (1.0 + c.gamma);
  std::vector<Stage> stages{combine(kEven, {{kGradient, 1.0}})};
  double ratio = -own;  // of the values at degrees k - 1 and k
  for (int degree = 1; degree <= c.rounds; ++degree) {
    const int last = polynomial_of_degree(degree - 1);
    const int next = polynomial_of_degree(degree);
    stages.push_back(combine(kMixed, {{last, 1.0}}));
    stages.push_back(mix({kMixed}));
    if (degree == 1) {
      stages.push_back(combine(next, {{last, own}, {kMixed, mixed}}));
      continue;
    }
    const double twice = -2.0 / own;
    const double next_ratio = 1.0 / (twice - ratio);
    stages.push_back(combine(next, {{last, twice * next_ratio * own},
                                    {kMixed, twice * next_ratio * mixed},
                                    {next, -ratio * next_ratio}}));
    ratio = next_ratio;
  }
  return stages;
}

std::vector<Stage> step(const MSDAConstants& c, bool is_first) {
  std::vector<Stage> stages;
  if (is_first) stages.push_back(combine(kY, {{kModel, 1.0}}));
  stages.push_back(evaluate());
  const std::vector<Stage> gossip = chebyshev(c);
  stages.insert(stages.end(), gossip.begin(), gossip.end());
  stages.push_back(combine(
      kMixed, {{kModel, 1.0}, {kGradient, -c.step}, {polynomial_of_degree(c.rounds), c.step}}));
  stages.push_back(combine(kModel, {{kMixed, 1.0 + c.momentum}, {kY, -c.momentum}}));
  stages.push_back(combine(kY, {{kMixed, 1.0}}));
  return stages;
}

}  // namespace

MSDAConstants msda_constants(double mu, double smoothness, double chi) {
  check_convexity(mu, smoothness);
  check_chi(chi);
  constexpr double kRounding = 1e-9;  // of a chi that is a square
  MSDAConstants constants;
  constants.gamma = 1.0 / chi;
  constants.rounds = static_cast<int>(std::floor(std::sqrt(chi) + kRounding));
  const double root = std::sqrt(constants.gamma);
  const double power = std::pow((1.0 - root) / (1.0 + root), constants.rounds);
  constants.step = mu * (1.0 + power * power) / ((1.0 + power) * (1.0 + power));
  const double scaled = (1.0 + power) * std::sqrt(smoothness / mu);
  constants.momentum = (scaled - 1.0 + power) / (scaled + 1.0 - power);
  return constants;
}

MSDAConstants msda_constants(double mu, double smoothness, const topology::Graph& graph) {
  return msda_constants(mu, smoothness, topology::laplacian_spectrum(graph).chi());
}

MSDA::MSDA(const MSDAConstants& constants)
    : Algorithm({.name = "msda",
                 .mixing_needs = MixingNeeds::kSymmetric,
                 .state = {"y", "even", "odd", "mixed"},
                 .kinds = {step(constants, true), step(constants, false)}}) {
  GOSSIP_CHECK(constants.rounds >= 1, "MSDA mixes {} times a step: it must be at least 1.",
               constants.rounds);
}

}  // namespace gossip::algorithm
