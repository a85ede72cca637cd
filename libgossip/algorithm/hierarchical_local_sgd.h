// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Local SGD on two levels.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// Local SGD on two levels: every `inner_steps` the ranks mix by the topology's matrix, which
/// averages within groups, and every `outer_steps` all take the mean. Extra state: none.
class HierarchicalLocalSGD final : public Algorithm {
 public:
  /// Throws gossip::Error unless both are at least 1 and `outer_steps` is a multiple of the other.
  HierarchicalLocalSGD(std::int64_t inner_steps, std::int64_t outer_steps);

 private:
  [[nodiscard]] std::size_t kind_of(std::int64_t step) const override;

  std::int64_t inner_steps_;
  std::int64_t outer_steps_;
};

}  // namespace gossip::algorithm
