// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/policy/wait.h>

#include "support/expect_throw.h"

namespace gossip::test {

/// The set as numbers of its neighbors.
inline std::vector<Rank> ranks_in(const policy::Mask& mask) {
  std::vector<Rank> ranks;
  for (std::size_t m = 0; m < mask.size(); ++m) {
    if (mask[m]) ranks.push_back(static_cast<Rank>(m));
  }
  return ranks;
}

/// Neighbors 0, 1, ... whose values came, or will come, at `offsets`, as they are after `elapsed`
/// seconds.
inline std::vector<policy::NeighborView> neighbors_after(double elapsed,
                                                         const std::vector<double>& offsets) {
  std::vector<policy::NeighborView> neighbors;
  for (const double offset : offsets) {
    const bool has_arrived = offset <= elapsed;
    neighbors.push_back({.rank = static_cast<Rank>(neighbors.size()),
                         .has_arrived = has_arrived,
                         .offset = has_arrived ? offset : elapsed});
  }
  return neighbors;
}

/// Whom a policy accepts that is asked after `elapsed` seconds and closes.
inline std::vector<Rank> accepted_after(const policy::WaitPolicy& policy, double elapsed,
                                        const std::vector<double>& offsets) {
  const std::vector<policy::NeighborView> neighbors = neighbors_after(elapsed, offsets);
  const policy::RoundView view{.elapsed = elapsed, .neighbors = neighbors};
  EXPECT_TRUE(policy.decide(view).closes) << elapsed;
  policy::Mask accepted;
  policy.accept(view, accepted);
  return ranks_in(accepted);
}

}  // namespace gossip::test
