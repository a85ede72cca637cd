// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Methods whose steps form rounds.

#include <initializer_list>
#include <vector>

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// The stages of all parts, one after the other.
[[nodiscard]] std::vector<Stage> joined(std::initializer_list<std::vector<Stage>> parts);

/// A method whose steps form rounds of H: a first one, H - 2 equal ones, and a last one, which
/// communicates. With H = 1 one step is both.
class RoundAlgorithm : public Algorithm {
 protected:
  struct Round {
    std::vector<Stage> before = {};  ///< before the first step
    std::vector<Stage> first = {};   ///< in place of `local` in the first step; may be empty
    std::vector<Stage> local;        ///< every step
    std::vector<Stage> after;        ///< after the last step
  };

  /// Throws gossip::Error unless `local_steps` is at least 1.
  RoundAlgorithm(Rules rules, const Round& round, std::int64_t local_steps);

  [[nodiscard]] std::size_t kind_of(std::int64_t step) const override;

 private:
  std::int64_t local_steps_;
};

}  // namespace gossip::algorithm
