// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/sim/poisson_clock.h>

namespace gossip::sim {
namespace {

TEST(PoissonClock, GivesEveryWorkerAndEdgeItsRate) {
  const std::vector<topology::EdgeIntensity> edges{{0, 1, 0.5}, {1, 2, 2.0}, {0, 2, 0.25}};
  PoissonClock clock(3, edges, 1.5, 7);
  constexpr double kUntil = 40000.0;
  std::vector<double> counts(6, 0.0);
  double squares = 0.0;
  double events = 0.0;
  double last = 0.0;

  for (Event event = clock.next(); event.time < kUntil; event = clock.next()) {
    const int edge = event.worker + event.peer;  // 1, 3 and 2
    const int kind = event.is_gradient() ? event.worker : (edge == 1 ? 3 : edge == 3 ? 4 : 5);
    counts[static_cast<std::size_t>(kind)] += 1.0;
    squares += (event.time - last) * (event.time - last);
    events += 1.0;
    last = event.time;
  }

  const std::vector<double> rates{1.5, 1.5, 1.5, 0.5, 2.0, 0.25};
  for (std::size_t k = 0; k < rates.size(); ++k) {
    EXPECT_NEAR(counts[k] / kUntil, rates[k], 5.0 * std::sqrt(rates[k] / kUntil)) << k;
  }
  // Exponential gaps: the mean square is twice the square of the mean.
  const double gap = 1.0 / 7.25;
  EXPECT_NEAR(squares / events, 2.0 * gap * gap, 0.03 * gap * gap);
}

TEST(PoissonClock, RepeatsItselfForOneSeedOnly) {
  const std::vector<topology::EdgeIntensity> edges{{0, 1, 0.5}};
  PoissonClock first(2, edges, 1.0, 3);
  PoissonClock same(2, edges, 1.0, 3);
  PoissonClock other(2, edges, 1.0, 4);

  const double time = first.next().time;

  EXPECT_EQ(same.next().time, time);
  EXPECT_NE(other.next().time, time);
}

TEST(PoissonClock, GivesEveryWorkerItsOwnRate) {
  const std::vector<double> rates{1.0, 0.1, 0.0, 2.0};
  PoissonClock clock(4, {{0, 1, 0.9}}, rates, 7);
  constexpr double kUntil = 20000.0;
  std::vector<double> counts(4, 0.0);
  double pairs = 0.0;

  for (Event event = clock.next(); event.time < kUntil; event = clock.next()) {
    (event.is_gradient() ? counts[static_cast<std::size_t>(event.worker)] : pairs) += 1.0;
  }

  for (std::size_t k = 0; k < rates.size(); ++k) {
    EXPECT_NEAR(counts[k] / kUntil, rates[k], 5.0 * std::sqrt(rates[k] / kUntil)) << k;
  }
  EXPECT_NEAR(pairs / kUntil, 0.9, 5.0 * std::sqrt(0.9 / kUntil));
}

TEST(PoissonClock, EqualRatesGiveTheEventsOfOneRate) {
  const std::vector<topology::EdgeIntensity> edges{{0, 1, 0.5}, {1, 2, 0.25}};
  PoissonClock one(3, edges, 0.7, 3);
  PoissonClock many(3, edges, std::vector<double>(3, 0.7), 3);

  for (int k = 0; k < 1000; ++k) {
    const Event expected = one.next();
    const Event event = many.next();
    ASSERT_EQ(event.time, expected.time);
    ASSERT_EQ(event.worker, expected.worker);
    ASSERT_EQ(event.peer, expected.peer);
  }
}

TEST(PoissonClock, ChangesItsEdges) {
  PoissonClock clock(3, {{0, 1, 1.0}}, 0.0, 3);

  clock.change_edges(5.0, {{1, 2, 4.0}});
  const Event event = clock.next();

  EXPECT_GT(event.time, 5.0);
  EXPECT_EQ(event.worker, 1);
  EXPECT_EQ(event.peer, 2);
  EXPECT_THROW(clock.change_edges(4.0, {{1, 2, 4.0}}), Error);
  EXPECT_THROW(clock.change_edges(6.0, {{1, 3, 4.0}}), Error);
}

TEST(PoissonClock, RefusesWhatIsNoProcess) {
  EXPECT_THROW(PoissonClock(2, {{0, 1, 0.0}}, 1.0, 1), Error);
  EXPECT_THROW(PoissonClock(2, {{0, 2, 1.0}}, 1.0, 1), Error);
  EXPECT_THROW(PoissonClock(2, {{0, 1, 1.0}}, -1.0, 1), Error);
  EXPECT_THROW(PoissonClock(2, {}, 0.0, 1), Error);
  EXPECT_THROW(PoissonClock(2, {}, std::vector<double>{1.0}, 1), Error);
  EXPECT_THROW(PoissonClock(2, {}, std::vector<double>{1.0, -1.0}, 1), Error);
}

}  // namespace
}  // namespace gossip::sim
