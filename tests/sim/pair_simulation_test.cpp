// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/algorithm/a2cid2.h>
#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/base/error.h>
#include <libgossip/sim/pair_simulation.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/second_moment.h>

#include "sim_test_support.h"

namespace gossip::sim {
namespace {

using algorithm::A2CiD2;
using algorithm::a2cid2_constants;
using algorithm::ADPSGD;

std::vector<double> ramp(int size) {
  std::vector<double> values(static_cast<std::size_t>(size));
  std::iota(values.begin(), values.end(), 0.0);
  return values;
}

double sum_of(PairSimulation& group, int index) {
  double sum = 0.0;
  for (Rank worker = 0; worker < group.size(); ++worker) {
    for (const double value : group.vector(worker, index)) sum += value;
  }
  return sum;
}

void expect_near(std::span<const double> values, const std::vector<double>& expected,
                 double tolerance) {
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t k = 0; k < expected.size(); ++k) {
    EXPECT_NEAR(values[k], expected[k], tolerance) << k;
  }
}

std::vector<double> all_of(PairSimulation& group, int index) {
  std::vector<double> values;
  for (Rank worker = 0; worker < group.size(); ++worker) {
    values.push_back(group.vector(worker, index)[0]);
  }
  return values;
}

TEST(PairSimulation, FollowsTheGoldenTrajectoryOfA2CiD2) {
  const A2CiD2 method(a2cid2_constants(topology::ring(4)));
  PairSimulation group(method, 4, 1);
  group.set_models(ramp(4));
  PoissonClock clock(4, topology::equal_intensities(topology::ring(4)), 0.0, 42);
  constexpr double kTolerance = 1e-10;

  Event event = clock.next();
  group.play(event);
  EXPECT_NEAR(event.time, 0.676555299122007, kTolerance);
  expect_near(all_of(group, 0), {0.5, 0.5, 2.0, 3.0}, kTolerance);
  expect_near(all_of(group, 1), {0.577350269189626, 0.422649730810374, 2.0, 3.0}, kTolerance);

  event = clock.next();
  group.play(event);
  EXPECT_NEAR(event.time, 0.839836837755141, kTolerance);
  EXPECT_EQ(event.worker, 0);
  EXPECT_EQ(event.peer, 3);
  EXPECT_NEAR(group.vector(0, 0)[0], 1.75332284543686, kTolerance);
  EXPECT_NEAR(group.vector(3, 0)[0], 1.75332284543686, kTolerance);
  EXPECT_NEAR(group.vector(0, 1)[0], 2.01024335987507, kTolerance);
  EXPECT_NEAR(group.vector(3, 1)[0], 1.56046121844083, kTolerance);

  for (int k = 3; k <= 10; ++k) {
    event = clock.next();
    group.play(event);
  }
  EXPECT_NEAR(event.time, 2.31569758125495, kTolerance);
  EXPECT_EQ(event.worker, 1);
  EXPECT_EQ(event.peer, 2);
  expect_near(all_of(group, 0),
              {1.65931008345257, 1.34116455423412, 1.34116455423412, 1.65931008345257}, kTolerance);
}

/// The two perfect matchings of a ring in turn, one a unit of time.
void play_matchings(PairSimulation& group, int first_round, int last_round) {
  const int n = group.size();
  for (int round = first_round; round <= last_round; ++round) {
    for (Rank a = (round + 1) % 2; a < n; a += 2) {
      group.play({static_cast<double>(round), a, (a + 1) % n});
    }
  }
}

/// The matrix of two rounds on differences from the mean: [vector and worker][start]. The elements
/// are independent, so each start is an element.
std::vector<double> two_rounds(const algorithm::PairAlgorithm& method, int size) {
  const int dimension = size * method.num_vectors();
  PairSimulation group(method, size, static_cast<std::size_t>(dimension));
  for (int index = 0; index < method.num_vectors(); ++index) {
    for (Rank worker = 0; worker < size; ++worker) {
      for (Rank other = 0; other < size; ++other) {
        const auto start = static_cast<std::size_t>(index * size + other);
        group.vector(worker, index)[start] = (worker == other ? 1.0 : 0.0) - 1.0 / size;
      }
    }
  }
  play_matchings(group, 1, 2);
  std::vector<double> matrix;
  for (int index = 0; index < method.num_vectors(); ++index) {
    for (Rank worker = 0; worker < size; ++worker) {
      const auto row = group.vector(worker, index);
      matrix.insert(matrix.end(), row.begin(), row.end());
    }
  }
  return matrix;
}

/// lim |P^k|^(1/k) for k = 2^40, by squaring.
double spectral_radius(std::vector<double> matrix, int dimension) {
  const auto n = static_cast<std::size_t>(dimension);
  double log_radius = 0.0;
  double power = 1.0;
  for (int k = 0; k < 40; ++k) {
    const double norm =
        std::sqrt(std::inner_product(matrix.begin(), matrix.end(), matrix.begin(), 0.0));
    log_radius += std::log(norm) / power;
    power *= 2.0;
    std::vector<double> square(n * n, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t l = 0; l < n; ++l) {
        const double factor = matrix[i * n + l] / (norm * norm);
        for (std::size_t j = 0; j < n; ++j) square[i * n + j] += factor * matrix[l * n + j];
      }
    }
    matrix.swap(square);
  }
  return std::exp(log_radius);
}

TEST(PairSimulation, HasTheSpectralRadiusOfAlternatingMatchings) {
  struct Row {
    int size;
    double accelerated;
  };
  for (const Row& row : {Row{8, 0.414426640006}, Row{16, 0.701701401645}, Row{32, 0.853914006902},
                         Row{64, 0.928476325343}}) {
    const ADPSGD plain;
    const A2CiD2 fast(a2cid2_constants(topology::ring(row.size)));
    const double of_plain = std::pow(std::cos(2.0 * std::numbers::pi / row.size), 2);
    EXPECT_NEAR(spectral_radius(two_rounds(plain, row.size), row.size), of_plain, 1e-10)
        << row.size;
    EXPECT_NEAR(spectral_radius(two_rounds(fast, row.size), 2 * row.size), row.accelerated, 1e-10)
        << row.size;
  }
}

TEST(PairSimulation, FollowsAlternatingMatchings) {
  const ADPSGD plain;
  const A2CiD2 fast(a2cid2_constants(topology::ring(8)));
  PairSimulation slow_group(plain, 8, 1);
  PairSimulation fast_group(fast, 8, 1);
  struct Row {
    int rounds;
    double plain;
    double accelerated;
  };
  int done = 0;
  for (PairSimulation* group : {&slow_group, &fast_group}) group->set_models(ramp(8));

  for (const Row& row :
       {Row{2, 16.0, 16.0}, Row{5, 2.0, 9.549342275806e-2}, Row{10, 6.25e-2, 1.346006274965e-2},
        Row{20, 6.103515625e-5, 8.599714914e-7}}) {
    for (PairSimulation* group : {&slow_group, &fast_group}) {
      play_matchings(*group, done + 1, row.rounds);
    }
    done = row.rounds;
    EXPECT_NEAR(slow_group.squared_consensus_distance(), row.plain, 1e-10 * row.plain);
    EXPECT_NEAR(fast_group.squared_consensus_distance(), row.accelerated, 1e-9 * row.accelerated);
    if (done == 5) {
      EXPECT_NEAR(fast_group.model(0)[0], 3.386551959851, 1e-10);
      EXPECT_NEAR(fast_group.model(2)[0], 3.395105301012, 1e-10);
    }
  }
}

TEST(PairSimulation, KeepsItsSumsOver100000EventsWithDelays) {
  const auto graph = topology::ring(16);
  const ADPSGD plain;
  const A2CiD2 fast(a2cid2_constants(graph, 1.0, 0.5));
  for (const double delay : {0.0, 0.3, 1.0}) {
    for (const algorithm::PairAlgorithm* method :
         {static_cast<const algorithm::PairAlgorithm*>(&plain),
          static_cast<const algorithm::PairAlgorithm*>(&fast)}) {
      SCOPED_TRACE(testing::Message() << method->name() << " delayed by " << delay);
      PairSimulation group(*method, 16, 3, delay);
      std::vector<double> start(48);
      for (std::size_t k = 0; k < start.size(); ++k)
        start[k] = std::cos(static_cast<double>(k)) + 1;
      group.set_models(start);
      double expected = std::accumulate(start.begin(), start.end(), 0.0);
      PoissonClock clock(16, topology::equal_intensities(graph), 1.0, 5);
      // Local steps that keep the workers apart; their sum is exact.
      const auto step = [&](Rank worker, std::span<const double>, std::span<double> increment) {
        for (double& value : increment) value = worker % 4 < 2 ? 0.125 : -0.125;
        expected += std::accumulate(increment.begin(), increment.end(), 0.0);
      };

      for (int event = 0; event < 100000; ++event) group.play(clock.next(), step);
      group.deliver_all();

      double sum = 0.0;
      for (int index = 0; index < method->num_vectors(); ++index) sum += sum_of(group, index);
      sum /= method->num_vectors();
      const double size = std::accumulate(start.begin(), start.end(), std::abs(expected));
      EXPECT_NEAR(sum, expected, 1e-12 * size);
      EXPECT_GT(group.squared_consensus_distance(), 1e-6);
    }
  }
}

TEST(PairSimulation, DeliversALateHalfWhenItIsDue) {
  const A2CiD2 method({.eta = 0.3, .alpha = 0.5, .alpha_tilde = 2.0});
  PairSimulation group(method, 3, 1, 0.5);
  group.set_models(std::vector<double>{4.0, 0.0, 7.0});

  group.play({1.0, 0, 1});  // m = 4, so that worker 1 gets 2 and 8 at 1.5
  EXPECT_EQ(group.vector(0, 0)[0], 2.0);
  EXPECT_EQ(group.vector(0, 1)[0], -4.0);
  EXPECT_EQ(group.vector(1, 0)[0], 0.0);
  group.play({3.0, 2, Event::kNobody});
  group.synchronize();

  const double decay = std::exp(-2.0 * 0.3 * 1.5);
  EXPECT_NEAR(group.vector(1, 0)[0], 5.0 - 3.0 * decay, 1e-14);
  EXPECT_NEAR(group.vector(1, 1)[0], 5.0 + 3.0 * decay, 1e-14);
}

TEST(PairSimulation, DelayedHalvesLoseTheSumOfTheModelAlone) {
  // Why the sum of x + x~ is the one to watch: the late half is flowed to another time.
  const auto graph = topology::ring(16);
  const A2CiD2 method(a2cid2_constants(graph));
  PairSimulation group(method, 16, 1, 0.3);
  group.set_models(ramp(16));
  PoissonClock clock(16, topology::equal_intensities(graph), 0.0, 5);

  group.run(clock, 5.0);
  group.deliver_all();

  EXPECT_NEAR((sum_of(group, 0) + sum_of(group, 1)) / 2.0, 120.0, 1e-10);
  EXPECT_GT(std::abs(sum_of(group, 0) - 120.0), 1e-3);
}

/// Mean of |pi x_40|^2 / |pi x_0|^2 on a ring of 16 over 1500 courses.
double mean_at_40(const algorithm::PairAlgorithm& method, double delay) {
  constexpr int kCourses = 1500;
  PoissonClock clock(16, topology::equal_intensities(topology::ring(16)), 0.0, 11);
  PairSimulation group(method, 16, 1, delay);
  double sum = 0.0;
  for (int course = 0; course < kCourses; ++course) {
    group.set_models(ramp(16));
    group.run(clock, group.time() + 40.0);
    sum += group.squared_consensus_distance() / 340.0 / kCourses;
  }
  return sum;
}

TEST(PairSimulation, DelayCostsWhatItIsKnownToCost) {
  const auto graph = topology::ring(16);
  const ADPSGD plain;
  const A2CiD2 full(a2cid2_constants(graph));
  const A2CiD2 half(a2cid2_constants(graph, 1.0, 0.5));

  // In units of the mean time between a worker's events. Heavy tails: half of the value, or twice.
  EXPECT_NEAR(mean_at_40(plain, 0.0), 3.2787e-2, 2e-3);
  EXPECT_NEAR(mean_at_40(plain, 1.0), 3.4e-2, 3e-3);
  EXPECT_NEAR(std::log(mean_at_40(full, 0.0) / 5.2e-4), 0.0, 0.7);
  EXPECT_NEAR(std::log(mean_at_40(full, 1.0) / 5.8e-2), 0.0, 0.7);
  EXPECT_NEAR(std::log(mean_at_40(half, 0.0) / 6.4e-4), 0.0, 0.7);
  EXPECT_NEAR(std::log(mean_at_40(half, 1.0) / 3.2e-3), 0.0, 0.7);
}

TEST(PairSimulation, MeanSquareIsThatOfTheSecondMoments) {
  struct Row {
    topology::Graph graph;
    bool accelerated;
  };
  const std::vector<double> times{2.0, 5.0, 10.0, 20.0};
  for (const Row& row : {Row{topology::ring(16), false}, Row{topology::ring(16), true},
                         Row{topology::path(16), true}, Row{topology::star(16), true}}) {
    SCOPED_TRACE(testing::Message() << row.graph.name() << ' ' << row.accelerated);
    const auto edges = topology::equal_intensities(row.graph);
    const auto constants =
        row.accelerated ? a2cid2_constants(row.graph) : algorithm::A2CiD2Constants{};
    const A2CiD2 method(constants);
    const auto exact = topology::mean_square_distances(
        ramp(16), edges, {constants.eta, constants.alpha, constants.alpha_tilde}, times);
    constexpr int kCourses = 4000;
    PoissonClock clock(16, edges, 0.0, 3);
    PairSimulation group(method, 16, 1);
    std::vector<double> sums(times.size(), 0.0);
    std::vector<double> squares(times.size(), 0.0);

    for (int course = 0; course < kCourses; ++course) {
      const double begin = group.time();
      group.set_models(ramp(16));
      for (std::size_t k = 0; k < times.size(); ++k) {
        group.run(clock, begin + times[k]);
        const double value = group.squared_consensus_distance();
        sums[k] += value;
        squares[k] += value * value;
      }
    }

    for (std::size_t k = 0; k < times.size(); ++k) {
      const double mean = sums[k] / kCourses;
      const double error = std::sqrt((squares[k] / kCourses - mean * mean) / kCourses);
      EXPECT_NEAR(mean, exact[k], 4.0 * error) << times[k];
      EXPECT_LT(error, 0.2 * exact[k]) << times[k];
    }
  }
}

TEST(PairSimulation, MomentumDampsLastingDisagreement) {
  struct Row {
    int size;
    double plain;
    double accelerated;
  };
  for (const Row& row : {Row{16, 74.314497, 31.334000}, Row{32, 416.347476, 99.968820}}) {
    const auto graph = topology::ring(row.size);
    const auto edges = topology::equal_intensities(graph);
    const auto constants = a2cid2_constants(graph);
    // The stationary mean of x has the gradients' shape: its size along cos(2 pi i / n).
    const auto size_of_mean = [&](const algorithm::PairAlgorithm& method) {
      PairSimulation group(method, row.size, 1);
      PoissonClock clock(row.size, edges, 1.0, 9);
      std::vector<double> direction;
      for (int i = 0; i < row.size; ++i) {
        direction.push_back(std::cos(2.0 * std::numbers::pi * i / row.size));
      }
      const auto step = [&](Rank worker, std::span<const double>, std::span<double> increment) {
        increment[0] = -direction[static_cast<std::size_t>(worker)];
      };
      const double settled = 10.0 * row.size * row.size / 4.0;
      group.run(clock, settled, step);
      double sum = 0.0;
      constexpr int kSamples = 20000;
      for (int k = 1; k <= kSamples; ++k) {
        group.run(clock, settled + 2.0 * k, step);
        for (int i = 0; i < row.size; ++i) {
          sum -= group.model(i)[0] * direction[static_cast<std::size_t>(i)];
        }
      }
      return sum / kSamples / std::sqrt(row.size / 2.0);
    };

    const double plain = size_of_mean(ADPSGD());
    const double accelerated = size_of_mean(A2CiD2(constants));

    EXPECT_NEAR(plain, row.plain, 0.015 * row.plain) << row.size;
    EXPECT_NEAR(accelerated, row.accelerated, 0.015 * row.accelerated) << row.size;
    EXPECT_NEAR(plain / accelerated, 0.5 + constants.alpha_tilde,
                0.05 * (0.5 + constants.alpha_tilde));
  }
}

TEST(PairSimulation, HasTheStationaryErrorsOfHeterogeneousQuadratics) {
  struct Row {
    topology::Graph graph;
    bool accelerated;
    double gamma;
    double error;
    double of_mean;
  };
  const test::Quadratics problem(16, 4, 1.0, 10.0);
  for (const Row& row :
       {Row{topology::ring(16), false, 0.05, 0.5898074607, 0.0091232536},
        Row{topology::ring(16), true, 0.05, 0.3608936291, 0.0122484345},
        Row{topology::ring(16), false, 0.01, 0.0977416802, 0.0030204107},
        Row{topology::ring(16), true, 0.01, 0.0461411583, 0.0035028405},
        Row{topology::complete(16), true, 0.01, 0.0476483004, 0.0476483004 - 0.0443329493}}) {
    SCOPED_TRACE(testing::Message() << row.graph.name() << ' ' << row.accelerated << row.gamma);
    const A2CiD2 method(row.accelerated ? a2cid2_constants(row.graph)
                                        : algorithm::A2CiD2Constants{});
    PairSimulation group(method, 16, 4);
    PoissonClock clock(16, topology::equal_intensities(row.graph), 1.0, 2);
    const auto step = [&](Rank i, std::span<const double> x, std::span<double> increment) {
      problem.gradient_step(i, x, row.gamma, increment);
    };
    constexpr int kSamples = 100000;
    const double settled = 10.0 / row.gamma;
    group.run(clock, settled, step);
    double error = 0.0;
    double of_mean = 0.0;

    for (int k = 1; k <= kSamples; ++k) {
      group.run(clock, settled + 1.0 * k, step);
      const auto now = test::errors_of(group, problem);
      error += now.first / kSamples;
      of_mean += now.second / kSamples;
    }

    EXPECT_NEAR(error, row.error, 0.012 * row.error);
    EXPECT_NEAR(of_mean, row.of_mean, 0.03 * row.of_mean);
  }
}

TEST(PairSimulation, RefusesATimeThatNeverComes) {
  const ADPSGD method;
  PairSimulation group(method, 2, 1);
  PoissonClock clock(2, topology::equal_intensities(topology::ring(2)), 1.0, 0);
  for (const double until : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW(group.run(clock, until), Error) << until;
  }
  EXPECT_NO_THROW(group.run(clock, 1.0));
}

TEST(PairSimulation, RefusesWhatIsNoGroup) {
  const ADPSGD method;
  EXPECT_THROW(PairSimulation(method, 0, 1), Error);
  EXPECT_THROW(PairSimulation(method, 2, 1, -0.5), Error);
  PairSimulation group(method, 2, 3);
  EXPECT_THROW(group.set_models(std::vector<double>(5)), Error);
}

}  // namespace
}  // namespace gossip::sim
