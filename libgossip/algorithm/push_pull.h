// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Push-pull: gradient tracking over directed graphs.

#include <cstdint>
#include <functional>

#include <libgossip/algorithm/algorithm.h>

namespace gossip::algorithm {

/// Where the mixing of the model stands.
enum class PushPullOrder {
  kPushPull,  ///< \f$ X \leftarrow R (X - \eta Y) \f$ (Pu, Shi, Xu, Nedic 2021)
  kAB,        ///< \f$ X \leftarrow R X - \eta Y \f$ (Xin and Khan 2018)
};

/// Which workers step along their trackers in a round with device sampling.
enum class Stepping {
  kActive,  ///< the active ones only; tolerates larger learning rates, the default
  kAll,     ///< all of them, the others along a tracker from before
};

/// Gradient tracking over directed graphs: \f$ X \leftarrow R (X - \eta Y),\ Y \leftarrow C Y +
/// G(X) - G(X_{old}) \f$ with R row and C column stochastic: the limit is exact; sum y = sum g.
/// With device sampling only active workers evaluate a gradient and send (after Hsieh et al. 2023;
/// each keeps the gradient that it computed last); who is not active takes what the others send.
/// Whether it is, each worker may decide by itself: its neighbors learn it from its messages. Extra
/// state: one vector, with device sampling two; on the wire: two vectors a step, of active workers
/// only.
class PushPull final : public Algorithm {
 public:
  /// Whether this rank is active in a step: the same answer whenever it is asked of that step.
  using IsActive = std::function<bool(std::int64_t step)>;

  explicit PushPull(PushPullOrder order = PushPullOrder::kPushPull);

  /// With device sampling. Each rank knows `is_active` of itself only. Where the same sampling
  /// holds on all ranks, R and C may say so, too (topology::sampled_rows() and sampled_columns()):
  /// that gives the same without messages from those who are not active, and is what a simulation
  /// needs.
  explicit PushPull(IsActive is_active, Stepping stepping = Stepping::kActive);

 private:
  [[nodiscard]] std::size_t kind_of(std::int64_t step) const override;

  IsActive is_active_;
};

}  // namespace gossip::algorithm
