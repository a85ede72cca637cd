// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A word when a run is lost.

#include <cstdint>

#include <libgossip/base/types.h>
#include <libgossip/model/flat_model.h>

namespace gossip::optim {

/// Warns, once, when this rank's loss, gradient or model is NaN or infinite: mixing would carry it
/// to all ranks without a word. A whole pass over the gradient in each step would cost time: it
/// looks at the loss, if it is given one, at one element of each parameter's gradient, another in
/// each step, and in every hundredth step at the whole model, which does not lose a NaN again.
///
/// Local.
class DivergenceNotice {
 public:
  /// Before step `step` (from 1) uses the gradient. `loss` may be undefined. Allocates nothing
  /// unless it warns.
  void look(const model::FlatModel& model, const at::Tensor& loss, Rank rank, std::int64_t step);

 private:
  bool has_warned_ = false;
};

}  // namespace gossip::optim
