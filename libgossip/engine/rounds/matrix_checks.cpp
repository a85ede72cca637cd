// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/engine/neighbors.h>
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

void check_matrices(const Matrices& matrices, const algorithm::Algorithm& algorithm) {
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

int most_senders(const Matrices& matrices, bool is_pushing) {
  constexpr std::int64_t kMostRounds = 4096;
  if (!is_pushing) {
    return std::max(1, matrices.pull.degree_bound());
  }
  // After so many rounds the two repeat together.
  const std::int64_t rounds = std::lcm(static_cast<std::int64_t>(matrices.pull.period()),
                                       static_cast<std::int64_t>(matrices.push.period()));
  if (rounds == 0 || rounds > kMostRounds) {
    const int most = matrices.pull.degree_bound() + matrices.push.degree_bound();
    return std::clamp(most, 1, std::max(1, matrices.pull.size() - 1));
  }
  std::size_t most = 1;
  topology::Neighborhood pull;
  topology::Neighborhood push;
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (Rank rank = 0; rank < matrices.pull.size(); ++rank) {
      matrices.pull.neighborhood(round, rank, pull);
      matrices.push.neighborhood(round, rank, push);
      std::set<Rank> senders;
      for (const topology::Neighbor& sender : pull.in) senders.insert(sender.rank);
      for (const topology::Neighbor& sender : push.in) senders.insert(sender.rank);
      most = std::max(most, senders.size());
    }
  }
  return static_cast<int>(most);
}

std::vector<Rank> neighbors_of(Rank rank, const Matrices& matrices, bool is_pushing) {
  std::vector<Rank> peers = union_graph(matrices.pull).out_neighbors(rank);
  if (!is_pushing) return peers;
  const topology::Graph pushes = union_graph(matrices.push);
  for (const Rank peer : pushes.out_neighbors(rank)) {
    if (std::ranges::find(peers, peer) == peers.end()) peers.push_back(peer);
  }
  return peers;
}

}  // namespace gossip::engine
