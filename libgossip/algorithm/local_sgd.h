// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Local SGD: local steps between exact averages.

#include <cstdint>
#include <vector>

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// How many steps lie between two averages: `length` steps from step `first` on.
struct Period {
  std::int64_t first;
  std::int64_t length;
};

/// Local SGD (Stich 2019): each rank steps alone, and every H-th step all take the mean of the
/// models. With two periods it is post-local SGD (Lin et al. 2020). Extra state: none; on the wire:
/// one all-reduce of the model every H steps.
class LocalSGD final : public Algorithm {
 public:
  /// Throws gossip::Error unless `periods` start at step 0, go up, and are at least 1 step long.
  explicit LocalSGD(std::vector<Period> periods);
  explicit LocalSGD(std::int64_t local_steps);

 private:
  [[nodiscard]] std::size_t kind_of(std::int64_t step) const override;

  std::vector<Period> periods_;
};

}  // namespace gossip::algorithm
