// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/engine/rounds/edges_in_use.h>
#include <libgossip/engine/rounds/matrix_checks.h>
#include <libgossip/topology/checks.h>
#include <libgossip/topology/spectral.h>

namespace gossip::engine {
namespace {

int rounds_examined(const topology::Schedule& schedule) {
  constexpr int kRoundsExamined = 64;  // of a schedule that never repeats
  return schedule.period() > 0 ? schedule.period() : kRoundsExamined;
}

void check_mutual(const topology::Schedule& schedule) {
  topology::Neighborhood neighborhood;
  for (int round = 0; round < rounds_examined(schedule); ++round) {
    for (Rank rank = 0; rank < schedule.size(); ++rank) {
      schedule.neighborhood(round, rank, neighborhood);
      GOSSIP_CHECK(
          std::ranges::equal(neighborhood.in, neighborhood.out, {}, &topology::Neighbor::rank,
                             &topology::Neighbor::rank),
          "The topology '{}' has neighbors that are not mutual (rank {} in round {}), so a "
          "lost one cannot be dropped: take ring, torus or random-matching, or push-sum.",
          schedule.name(), rank, round);
    }
  }
}

/// A header names the edges in use.
void check_degree(const topology::Schedule& schedule) {
  const int most = schedule.degree_bound();
  GOSSIP_CHECK(std::cmp_less_equal(most, kMostEdgesInUse),
               "The topology '{}' has a rank with {} neighbors in a round, of which a lost one "
               "cannot be dropped: at most {} can be named.",
               schedule.name(), most, kMostEdgesInUse);
}

}  // namespace

void check_matrices(const topology::Matrices& matrices, const algorithm::Algorithm& algorithm) {
  if (algorithm.mixing_needs() == algorithm::MixingNeeds::kDirected) {
    topology::validate_row_stochastic(matrices.pull);
    topology::validate_column_stochastic(matrices.push);
    return;
  }
  const topology::Schedule& schedule = matrices.pull;
  topology::validate_doubly_stochastic(schedule);
  if (algorithm.mixing_needs() != algorithm::MixingNeeds::kSymmetric) return;
  constexpr double kTolerance = 1e-9;
  GOSSIP_CHECK(schedule.period() == 1,
               "The topology '{}' changes with the round, but '{}' needs the same symmetric matrix "
               "in all rounds: ring, torus, complete or hypercube would do.",
               schedule.name(), algorithm.name());
  const topology::MixingMatrix matrix = schedule.matrix(0);
  const std::vector<std::vector<double>> rows = matrix.rows();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      GOSSIP_CHECK(std::abs(rows[i][j] - rows[j][i]) <= kTolerance,
                   "The topology '{}' is not symmetric: rank {} gives rank {} the weight {}, but "
                   "gets {}. '{}' needs a symmetric matrix: ring, torus, complete or hypercube "
                   "would do.",
                   schedule.name(), i, j, rows[i][j], rows[j][i], algorithm.name());
    }
  }
  const double smallest = *topology::spectral_constants(matrix).lambda_min;
  GOSSIP_CHECK(
      smallest > algorithm.eigenvalue_bound() + kTolerance,
      "The topology '{}' has the eigenvalue {:.4f}, but '{}' needs all above {:.4f}: the lazy "
      "matrix (I + W) / 2 would do, for example 'lazy:ring'.",
      schedule.name(), smallest, algorithm.name(), algorithm.eigenvalue_bound());
}

void check_may_drop(const topology::Schedule& schedule) {
  check_mutual(schedule);
  check_degree(schedule);
}

}  // namespace gossip::engine
