// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>
#include <vector>

#include <libgossip/algorithm/matrix_checks.h>
#include <libgossip/base/error.h>
#include <libgossip/topology/checks.h>
#include <libgossip/topology/spectral.h>

namespace gossip::algorithm {

void check_matrices(const topology::Matrices& matrices, const Algorithm& algorithm) {
  if (algorithm.mixing_needs() == MixingNeeds::kDirected) {
    topology::validate_row_stochastic(matrices.pull);
    topology::validate_column_stochastic(matrices.push);
    return;
  }
  const topology::Schedule& schedule = matrices.pull;
  topology::validate_doubly_stochastic(schedule);
  if (algorithm.mixing_needs() != MixingNeeds::kSymmetric) return;
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

}  // namespace gossip::algorithm
