// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// DiLoCo: an outer optimizer over local steps.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// DiLoCo (Douillard et al. 2023): the outer optimizer is Nesterov SGD on \f$ D = x - \bar y \f$:
/// \f$ v \leftarrow \mu v + D,\ x \leftarrow x - \eta_{out} (D + \mu v) \f$. Extra state: two
/// vectors; on the wire: one all-reduce every H steps. With `fragments` P > 1 the vectors are cut
/// in P parts, and part p is averaged when (step - p H / P) mod H = 0 (Douillard et al. 2025,
/// without its delay): the same bytes, but at most one part at a time.
class DiLoCo final : public Algorithm {
 public:
  /// Throws gossip::Error unless 0 < outer_rate, 0 <= momentum < 1, 1 <= fragments <= local_steps.
  DiLoCo(std::int64_t local_steps, double outer_rate, double momentum, int fragments = 1);

 private:
  [[nodiscard]] std::size_t kind_of(std::int64_t step) const override;

  std::int64_t local_steps_;
  int fragments_;
};

}  // namespace gossip::algorithm
