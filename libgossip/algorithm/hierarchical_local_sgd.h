// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Local SGD on two levels.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// Local SGD on two levels: after step k (from 1) all take the mean where `outer_steps` divides k;
/// else the ranks mix by the topology's matrix, which averages within groups, where `inner_steps`
/// does. Extra state: none.
class HierarchicalLocalSGD final : public Algorithm {
 public:
  /// Throws gossip::Error unless both are at least 1.
  HierarchicalLocalSGD(std::int64_t inner_steps, std::int64_t outer_steps);

 private:
  [[nodiscard]] std::size_t kind_of(std::int64_t step) const override;

  std::int64_t inner_steps_;
  std::int64_t outer_steps_;
};

}  // namespace gossip::algorithm
