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
/// A gradient may hold the mean of all ranks' when the step uses it: then it is looked at before
/// and after the mean, and what came from others is not said to be this rank's.
///
/// Local. Allocates nothing unless it warns.
class DivergenceNotice {
 public:
  /// What is no number, and whose gradient it is; of the loss: nobody's.
  struct Finding {
    double value = 0.0;
    const model::FlatModel::Parameter* parameter = nullptr;
  };

  /// Before step `step` (from 1) uses the gradient. `loss` may be undefined. `is_mean`: whether
  /// the gradient is the mean, or was made from it.
  void look(const model::FlatModel& model, const at::Tensor& loss, Rank rank, std::int64_t step,
            bool is_mean);

  /// Before the mean of the ranks' gradients replaces this one's. Says nothing: the step may be
  /// left out.
  void look_before_mean(const model::FlatModel& model, std::int64_t step);

  /// When it has.
  void look_after_mean(const model::FlatModel& model, std::int64_t step);

 private:
  void note(const Finding& found, std::int64_t step);

  Finding own_;                 // in the gradient, before others' came into it
  std::int64_t lost_mean_ = 0;  // the step whose mean was no number
  bool has_warned_ = false;
};

}  // namespace gossip::optim
