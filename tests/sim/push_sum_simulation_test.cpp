// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/sim/push_sum_simulation.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/weights.h>

#include "sim_test_support.h"

namespace gossip::sim {
namespace {

using Arrival = PushSumSimulation::Arrival;

std::vector<double> ramp(int size, double first) {
  std::vector<double> values(static_cast<std::size_t>(size));
  std::iota(values.begin(), values.end(), first);
  return values;
}

double largest_deviation(const PushSumSimulation& group, double mean) {
  double largest = 0.0;
  for (Rank i = 0; i < group.size(); ++i) {
    largest = std::max(largest, std::abs(group.model(i)[0] - mean));
  }
  return largest;
}

void make_steps(PushSumSimulation& group, int steps) {
  for (int k = 0; k < steps; ++k) group.step();
}

topology::Schedule digraph() {
  const auto graph = topology::Graph::directed(
      5, {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 0}, {0, 2}, {0, 3}}, "digraph");
  return {topology::uniform_out_degree(graph), "digraph"};
}

TEST(PushSumSimulation, FollowsTheWeightsOfADigraph) {
  PushSumSimulation group(digraph(), 1);
  group.set_models(ramp(5, 1.0));

  make_steps(group, 3);

  const std::vector<double> w{0.734375, 0.453125, 1.046875, 1.484375, 1.28125};
  const std::vector<double> z{3.808510638298, 3.068965517241, 2.611940298507, 2.726315789474,
                              3.146341463415};
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(group.weight(static_cast<Rank>(i)), w[i], 1e-14) << i;
    EXPECT_NEAR(group.model(static_cast<Rank>(i))[0], z[i], 1e-12) << i;
  }

  make_steps(group, 7);
  EXPECT_NEAR(largest_deviation(group, 3.0), 3.030e-2, 5e-6);
  make_steps(group, 20);
  EXPECT_NEAR(largest_deviation(group, 3.0), 2.793e-6, 5e-10);
  make_steps(group, 30);
  EXPECT_NEAR(largest_deviation(group, 3.0), 3.3e-12, 2e-13);
  make_steps(group, 60);
  const std::vector<double> limits{10.0, 5.0, 10.0, 15.0, 15.0};
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(group.weight(static_cast<Rank>(i)), limits[i] / 11.0, 1e-13) << i;
  }
}

TEST(PushSumSimulation, OnePeerExponentialIsExactForPowersOfTwo) {
  for (const int n : {2, 8, 16, 32}) {
    PushSumSimulation group(topology::one_peer_exponential(n), 1);
    group.set_models(ramp(n, 0.0));

    make_steps(group, topology::ceil_log2(n));

    EXPECT_EQ(largest_deviation(group, (n - 1) / 2.0), 0.0) << n;
  }
}

TEST(PushSumSimulation, OnePeerExponentialComesCloseForOtherSizes) {
  struct Row {
    int size;
    std::vector<double> deviations;
  };
  for (const Row& row :
       {Row{6, {0.5, 0.09375, 0.01953125}}, Row{12, {1.0, 0.171875, 0.03515625}}}) {
    PushSumSimulation group(topology::one_peer_exponential(row.size), 1);
    group.set_models(ramp(row.size, 0.0));
    for (const double deviation : row.deviations) {
      make_steps(group, topology::ceil_log2(row.size));
      EXPECT_NEAR(largest_deviation(group, (row.size - 1) / 2.0), deviation, 1e-13) << row.size;
    }
  }
}

TEST(PushSumSimulation, ConservesMassMessagesOnTheirWayIncluded) {
  for (const Arrival arrival : {Arrival::kSameStep, Arrival::kNextStep}) {
    PushSumSimulation group(digraph(), 3, arrival);
    group.set_models(ramp(15, 1.0));
    const std::vector<double> before = group.total();
    std::vector<double> added(3, 0.0);
    const auto step = [&](Rank worker, std::span<const double> z, std::span<double> increment) {
      for (std::size_t k = 0; k < 3; ++k) {
        increment[k] = -0.1 * (z[k] - std::cos(worker + static_cast<double>(k)));
        added[k] += increment[k];
      }
    };

    for (int k = 0; k < 2000; ++k) {
      group.step(step);
      const std::vector<double> now = group.total();
      for (std::size_t e = 0; e < 3; ++e) ASSERT_NEAR(now[e], before[e] + added[e], 1e-12 * 300);
      ASSERT_NEAR(group.total_weight(), 5.0, 1e-12);
    }
  }
}

TEST(PushSumSimulation, OverlappedWorkersKeepHalfOfTheirWeight) {
  PushSumSimulation group(topology::one_peer_exponential(8), 1, Arrival::kNextStep);
  group.set_models(ramp(8, 0.0));

  make_steps(group, 200);

  for (Rank i = 0; i < 8; ++i) EXPECT_EQ(group.weight(i), 0.5);
  EXPECT_NEAR(largest_deviation(group, 3.5), 0.0, 1e-13);
}

/// Mean of |z_i - x*|^2 over workers and one cycle of the schedule, after 20,000 steps on QUAD(16,
/// 4, 1, 10): after the mixing (SGP), or where the gradients are evaluated (OSGP).
double stationary_error(Arrival arrival, double gamma) {
  const test::Quadratics problem(16, 4, 1.0, 10.0);
  PushSumSimulation group(topology::one_peer_exponential(16), 4, arrival);
  double at_gradients = 0.0;
  const auto step = [&](Rank i, std::span<const double> z, std::span<double> increment) {
    at_gradients += problem.error_of(z) / 16.0;
    problem.gradient_step(i, z, gamma, increment);
  };
  for (int k = 0; k < 20000; ++k) group.step(step);
  double error = 0.0;
  for (int phase = 0; phase < 4; ++phase) {
    at_gradients = 0.0;
    group.step(step);
    error += arrival == Arrival::kSameStep ? test::errors_of(group, problem).first : at_gradients;
  }
  return error / 4.0;
}

TEST(PushSumSimulation, HasTheStationaryErrorsOfSGP) {
  EXPECT_NEAR(stationary_error(Arrival::kSameStep, 0.1), 0.375027027398, 1e-9 * 0.375);
  EXPECT_NEAR(stationary_error(Arrival::kSameStep, 0.05), 0.133348864281, 1e-9 * 0.133);
  EXPECT_NEAR(stationary_error(Arrival::kSameStep, 0.01), 7.484505785811e-3, 1e-9 * 7.48e-3);
}

TEST(PushSumSimulation, HasTheStationaryErrorsOfOSGP) {
  EXPECT_NEAR(stationary_error(Arrival::kNextStep, 0.1), 0.547082093516, 1e-9 * 0.547);
  EXPECT_NEAR(stationary_error(Arrival::kNextStep, 0.05), 0.239568100857, 1e-9 * 0.239);
  EXPECT_NEAR(stationary_error(Arrival::kNextStep, 0.01), 1.955063704375e-2, 1e-9 * 1.95e-2);
}

struct Worst {
  double square_distance = 0.0;  ///< of z from the mean, in the mean over workers
  double mass_error = 0.0;
  double weight_error = 0.0;
};

/// A star of 4 whose workers send whenever they like; a message arrives some events later.
Worst worst_of_free_senders(bool obeys_the_floor) {
  struct Message {
    Rank receiver;
    double value;
    double weight;
  };
  constexpr int kWorkers = 4;
  std::vector<double> z{0.0, 1.0, 2.0, 3.0};
  std::vector<double> excess(kWorkers);
  std::vector<algorithm::PushSum> rules;
  for (std::size_t i = 0; i < kWorkers; ++i) {
    rules.emplace_back(std::span<double>(&z[i], 1), std::span<double>(&excess[i], 1));
  }
  SplitMix64 generator(4);
  std::deque<Message> on_the_way;
  Worst worst;
  double noise = 0.0;
  for (int event = 0; event < 20000; ++event) {
    const std::size_t i = generator.below(kWorkers);
    rules[i].open();
    for (std::size_t k = 0; k < on_the_way.size();) {  // what has arrived for i by now
      if (static_cast<std::size_t>(on_the_way[k].receiver) != i || generator.below(3) > 0) {
        ++k;
        continue;
      }
      rules[i].absorb(std::span<double>(&on_the_way[k].value, 1), on_the_way[k].weight);
      on_the_way.erase(on_the_way.begin() + static_cast<std::ptrdiff_t>(k));
    }
    if (!obeys_the_floor || rules[i].may_send()) {
      const Rank receiver = i == 0 ? static_cast<Rank>(1 + generator.below(kWorkers - 1)) : 0;
      Message message{receiver, 0.0, 0.0};
      message.weight = rules[i].send(0.5, std::span<double>(&message.value, 1));
      on_the_way.push_back(message);
    }
    rules[i].close();
    const double step = 0.1 * (2.0 * generator.unit() - 1.0);  // a gradient of pure noise
    z[i] += step;
    noise += step;

    double mass = 0.0;
    double weight = 0.0;
    double square = 0.0;
    for (std::size_t k = 0; k < kWorkers; ++k) {
      mass += z[k] + excess[k];
      weight += rules[k].weight();
    }
    for (const Message& message : on_the_way) {
      mass += message.value;
      weight += message.weight;
    }
    const double mean = (6.0 + noise) / kWorkers;
    worst.mass_error = std::max(worst.mass_error, std::abs(mass / kWorkers - mean));
    worst.weight_error = std::max(worst.weight_error, std::abs(weight - kWorkers));
    for (const double value : z) square += (value - mean) * (value - mean) / kWorkers;
    worst.square_distance = std::max(worst.square_distance, square);
  }
  return worst;
}

TEST(PushSum, FreeSendersBreakWithoutTheFloorOfTheWeight) {
  const Worst with = worst_of_free_senders(true);
  const Worst without = worst_of_free_senders(false);

  EXPECT_LT(with.square_distance, 5.0);
  EXPECT_GT(without.square_distance, 500.0);
  EXPECT_LT(with.mass_error, 1e-12);
  // The masses are right in both, to the rounding of models of that size.
  EXPECT_LT(without.mass_error, 1e-12 * std::sqrt(without.square_distance));
  EXPECT_LT(with.weight_error, 1e-12);
  EXPECT_LT(without.weight_error, 1e-12);
}

TEST(PushSumSimulation, RefusesModelsOfAnotherSize) {
  PushSumSimulation group(topology::ring(4), 2);
  EXPECT_THROW(group.set_models(std::vector<double>(7)), Error);
}

}  // namespace
}  // namespace gossip::sim
