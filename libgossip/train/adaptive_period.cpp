// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <libgossip/base/error.h>
#include <libgossip/train/adaptive_period.h>

namespace gossip::train {

AdaptivePeriod::AdaptivePeriod(std::int64_t initial, double shrink)
    : initial_(initial), shrink_(shrink), period_(initial) {
  GOSSIP_CHECK(initial >= 1, "The first period is {} steps: it must be at least 1.", initial);
  GOSSIP_CHECK(shrink > 0.0 && shrink < 1.0,
               "The factor by which a period shrinks is {}: it must lie between 0 and 1.", shrink);
}

void AdaptivePeriod::update(double loss, double learning_rate) {
  GOSSIP_CHECK(std::isfinite(loss) && loss > 0.0,
               "The loss is {}: a positive number is needed to choose the period.", loss);
  GOSSIP_CHECK(std::isfinite(learning_rate) && learning_rate > 0.0,
               "The learning rate is {}: a positive number is needed to choose the period.",
               learning_rate);
  if (first_loss_ == 0.0) {
    first_loss_ = loss;
    first_rate_ = learning_rate;
    return;
  }
  // What is no number, or beyond one, is no shorter period.
  const auto steps = [this](double count) {
    if (!(count < static_cast<double>(period_))) return period_;
    return std::max(std::int64_t{1}, static_cast<std::int64_t>(std::ceil(count)));
  };
  const double ratio = (loss / first_loss_) * (first_rate_ / learning_rate);
  const std::int64_t next = steps(std::sqrt(ratio) * static_cast<double>(initial_));
  period_ = next < period_ ? next : steps(shrink_ * static_cast<double>(period_));
}

bool AdaptivePeriod::communicates() {
  if (++steps_ < period_) return false;
  steps_ = 0;
  return true;
}

}  // namespace gossip::train
