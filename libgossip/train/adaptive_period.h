// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How many local steps lie between two communications, from the loss.

#include <cstdint>

namespace gossip::train {

/// AdaComm (Wang and Joshi 2019, arXiv 1810.08313): few communications at first, when they cost
/// time and the models' distance does little harm, and more as the loss falls. All ranks make the
/// same calls with the same numbers, such as the mean of their losses (transport::mean_of()).
///
///     optim::LocalSGD optimizer(session, *model, std::move(local),
///                               optim::LocalSGDOptions().local_steps(1));
///     train::AdaptivePeriod period(16);
///     for (...) {
///       if (step % 500 == 0) period.update(transport::mean_of(session, loss));
///       if (period.communicates()) {
///         optimizer.step();
///       } else {
///         const auto guard = optimizer.no_sync();
///         optimizer.step();
///       }
///     }
///
/// Local, does not block.
class AdaptivePeriod {
 public:
  /// Starts with `initial` steps. Throws gossip::Error unless it is at least 1, and 0 < shrink < 1.
  explicit AdaptivePeriod(std::int64_t initial, double shrink = 0.5);

  /// The period from now on: \f$ \lceil \sqrt{F \eta_0 / (F_0 \eta)}\,\tau_0 \rceil \f$, where F_0
  /// and \f$ \eta_0 \f$ are those of the first call; where that is not smaller than the present
  /// period, \f$ \lceil \text{shrink}\,\tau \rceil \f$. Throws gossip::Error unless both numbers
  /// are positive and finite.
  void update(double loss, double learning_rate = 1.0);

  /// Whether the next step is to communicate: the last one of a period. Counts the step.
  [[nodiscard]] bool communicates();

  [[nodiscard]] std::int64_t period() const noexcept { return period_; }

 private:
  std::int64_t initial_;
  double shrink_;
  std::int64_t period_;
  std::int64_t steps_ = 0;  // since the last communication
  double first_loss_ = 0.0;
  double first_rate_ = 0.0;
};

}  // namespace gossip::train
