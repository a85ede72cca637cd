// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/transport/group.h>

#include "support/expect_throw.h"
#include "transport/on_ranks.h"

namespace gossip::test {

/// Ranks that the engine's suites run on: those of threads also as many as the reference has.
inline std::vector<int> engine_rank_counts() {
  std::vector<int> counts = rank_counts();
  if (counts.size() > 1) counts.push_back(8);
  return counts;
}

/// All topologies that the engine is tested with.
inline std::vector<topology::Schedule> all_schedules(int size) {
  return {topology::ring(size), topology::complete(size), topology::directed_ring(size),
          topology::one_peer_exponential(size), topology::random_matching(size, 7)};
}

/// What element `k` of vector `vector` of a rank starts as: different for all, and no round number.
inline double start_value(Rank rank, std::size_t vector, std::size_t k) {
  return 1.0 / (1.0 +
                static_cast<double>((static_cast<std::size_t>(rank) * 31 + vector * 7 + k) % 101)) -
         0.25 * static_cast<double>(rank);
}

/// X <- W X with the dense matrix of the round; a row a rank.
inline std::vector<std::vector<double>> times(const topology::Schedule& schedule,
                                              std::int64_t round,
                                              const std::vector<std::vector<double>>& x) {
  const std::vector<std::vector<double>> w = schedule.matrix(round).rows();
  std::vector<std::vector<double>> result(x.size(), std::vector<double>(x[0].size(), 0.0));
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t j = 0; j < x.size(); ++j) {
      for (std::size_t k = 0; k < x[0].size(); ++k) result[i][k] += w[i][j] * x[j][k];
    }
  }
  return result;
}

}  // namespace gossip::test
