// SPDX-License-Identifier: Apache-2.0
// What synchronous accelerated methods take to reach an accuracy, against counts of another
// implementation. Dual methods count gradients of the conjugate losses.
#include <algorithm>
#include <memory>
#include <ostream>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <libgossip/algorithm/adom_plus.h>
#include <libgossip/algorithm/msda.h>
#include <libgossip/sim/staged_simulation.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/weights.h>

#include "sim_test_support.h"

namespace gossip::sim {
namespace {

using algorithm::Consensus;
using topology::Graph;

constexpr std::size_t kElements = 4;

struct Count {
  std::int64_t gradients;
  std::int64_t communications;

  friend bool operator==(const Count&, const Count&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Count& count) {
    return out << count.gradients << " / " << count.communications;
  }
};

/// Where the reference has no count.
constexpr Count kUnknown{0, 0};

/// Steps until the mean of |x_i - x*|^2 is `accuracy` of that of x = 0; `x_of` writes what a worker
/// holds for the solution. A broken method ends at `limit` gradients.
Count run(StagedSimulation& group, const test::Quadratics& problem, double accuracy,
          std::int64_t limit, const StagedSimulation::Gradient& gradient,
          const StagedSimulation::Gradient& x_of) {
  std::vector<double> x(kElements, 0.0);
  const double enough = accuracy * problem.error_of(x);
  const auto error = [&] {
    double sum = 0.0;
    for (Rank i = 0; i < group.size(); ++i) {
      x_of(i, group.model(i), x);
      sum += problem.error_of(x) / group.size();
    }
    return sum;
  };
  while (error() > enough && group.gradients() < limit) group.step(gradient);
  return {group.gradients(), group.messages() / 2};
}

/// Against `expected`, unless that is not known.
void check_adom_plus(const Graph& graph, double kappa, double accuracy, Consensus consensus,
                     const Count& expected) {
  if (expected == kUnknown) return;
  const test::Quadratics problem(graph.size(), kElements, 1.0, kappa);
  StagedSimulation group(std::make_shared<const algorithm::ADOMPlus>(
                             algorithm::adom_plus_constants(1.0, kappa, graph, consensus)),
                         topology::spectral_weights(graph), kElements, 0.0);
  const Count count = run(
      group, problem, accuracy, 2 * expected.gradients,
      [&](Rank i, auto x, auto out) { problem.gradient(i, x, out); },
      [](Rank, auto x, auto out) { std::ranges::copy(x, out.begin()); });
  EXPECT_EQ(count, expected);
}

void check_msda(const Graph& graph, double kappa, double accuracy, const Count& expected) {
  if (expected == kUnknown) return;
  const test::Quadratics problem(graph.size(), kElements, 1.0, kappa);
  StagedSimulation group(
      std::make_shared<const algorithm::MSDA>(algorithm::msda_constants(1.0, kappa, graph)),
      topology::spectral_weights(graph), kElements, 0.0);
  const auto gradient = [&](Rank i, auto y, auto out) { problem.conjugate_gradient(i, y, out); };
  EXPECT_EQ(run(group, problem, accuracy, 2 * expected.gradients, gradient, gradient), expected);
}

struct Row {
  Graph graph;
  double kappa;
  double accuracy;
  Count single;  ///< ADOM+
  Count multi;   ///< ADOM+ with multi-consensus
  Count dual;    ///< MSDA
};

void check(const Row& row) {
  SCOPED_TRACE(fmt::format("{} of {}, kappa {}, accuracy {}", row.graph.name(), row.graph.size(),
                           row.kappa, row.accuracy));
  check_adom_plus(row.graph, row.kappa, row.accuracy, Consensus::kSingle, row.single);
  check_adom_plus(row.graph, row.kappa, row.accuracy, Consensus::kMulti, row.multi);
  check_msda(row.graph, row.kappa, row.accuracy, row.dual);
}

const Graph kComplete = topology::complete(16);
const Graph kStar = topology::star(16);
const Graph kRing = topology::ring(16);
const Graph kLine = topology::path(16);
const Graph kGrid = topology::grid(16);

TEST(SynchronousCounts, AreThoseOfTheReference) {
  for (const Row& row : {
           Row{kComplete, 10, 1e-6, {5648, 42360}, {5648, 42360}, {416, 3120}},
           Row{kComplete, 10, 1e-10, {9584, 71880}, {9584, 71880}, {608, 4560}},
           Row{kStar, 10, 1e-6, {89760, 84150}, {11200, 126000}, {576, 2160}},
           Row{kStar, 10, 1e-10, {153504, 143910}, {19040, 214200}, {832, 3120}},
           Row{kRing, 10, 1e-6, {167552, 167552}, {11344, 215536}, {528, 2640}},
           Row{kRing, 10, 1e-10, {288304, 288304}, {19216, 365104}, {768, 3840}},
           Row{kLine, 10, 1e-6, {732160, 686400}, {11344, 765720}, {544, 5100}},
           Row{kLine, 10, 1e-10, {1298688, 1217520}, {19216, 1297080}, {784, 7350}},
           Row{kGrid, 10, 1e-10, {114224, 171336}, {19184, 258984}, {816, 3672}},
       }) {
    check(row);
  }
}

TEST(SynchronousCounts, AreThoseOfTheReferenceForIllConditionedLosses) {
  for (const Row& row : {
           Row{kComplete, 100, 1e-10, {29504, 221280}, kUnknown, {2192, 16440}},
           Row{kStar, 100, 1e-10, {467328, 438120}, {58592, 659160}, {2880, 10800}},
           Row{kRing, 100, 1e-10, {794256, 794256}, {58752, 1116288}, {2768, 13840}},
           Row{kLine, 100, 1e-10, {3603040, 3377850}, {58752, 3965760}, {2752, 25800}},
       }) {
    check(row);
  }
}

TEST(SynchronousCounts, AreThoseOfTheReferenceForMoreWorkers) {
  for (const Row& row : {
           Row{topology::complete(32), 10, 1e-10, kUnknown, kUnknown, {1280, 19840}},
           Row{topology::star(32), 10, 1e-10, kUnknown, {39296, 875564}, {1920, 9300}},
           Row{topology::ring(32), 10, 1e-10, {2724960, 2724960}, {39648, 2894304}, {1600, 16000}},
           Row{topology::path(32), 10, 1e-10, kUnknown, {39648, 11061792}, {1600, 31000}},
       }) {
    check(row);
  }
}

}  // namespace
}  // namespace gossip::sim
