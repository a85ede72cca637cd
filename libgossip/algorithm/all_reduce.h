// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The baseline: every step uses the mean of all gradients.

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// \f$ x \leftarrow x - \eta \frac1n \sum_i g_i(x) \f$: all ranks keep the same model. Extra state:
/// one gradient buffer; on the wire: one all-reduce of the gradient a step.
class AllReduce final : public Algorithm {
 public:
  [[nodiscard]] std::string_view name() const override { return "allreduce"; }
  [[nodiscard]] MixingNeeds mixing_needs() const override { return MixingNeeds::kNone; }
  [[nodiscard]] bool averages_gradient() const override { return true; }
  [[nodiscard]] std::span<const Stage> stages(std::int64_t step) const override;
};

}  // namespace gossip::algorithm
