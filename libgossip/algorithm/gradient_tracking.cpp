// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/gradient_tracking.h>

namespace gossip::algorithm {
namespace {

/// Aug-DGM: the tracker is mixed, in a message of its own, before the update.
std::vector<Stage> adapt_then_combine(bool is_first) {
  constexpr int kTracker = kFirstState;
  constexpr int kLastGradient = kFirstState + 1;
  std::vector<Stage> stages{
      evaluate(), combine(kTracker, {{kTracker, 1.0}, {kGradient, 1.0}, {kLastGradient, -1.0}}),
      combine(kLastGradient, {{kGradient, 1.0}})};
  // The first tracker is the gradient of each rank's own start.
  if (!is_first) stages.push_back(mix({kTracker}));
  stages.push_back(local_update(kTracker));
  stages.push_back(mix({kModel}));
  return stages;
}

/// What is kept is Z = Y - G: the tracker Y = Z + G is only sent, and Z <- W Y - G = Z + W Y - Y
/// needs no gradient any more, so that it can be done beside the next one. One vector less, and the
/// model's memory is passed over less often.
std::vector<Stage> step(bool is_update_last) {
  constexpr int kCorrection = kFirstState;
  constexpr int kTracker = kFirstState + 1;
  const Mix communication = with_sent(mix({kModel}), kTracker, kCorrection);
  std::vector<Stage> stages{evaluate(), combine(kTracker, {{kCorrection, 1.0}, {kGradient, 1.0}}),
                            local_update(kTracker)};
  stages.insert(is_update_last ? stages.end() - 1 : stages.end(), communication);
  return stages;
}

}  // namespace

GradientTracking::GradientTracking(TrackingOrder order)
    : Algorithm(order == TrackingOrder::kATC
                    ? Rules{.name = "gradient-tracking",
                            .state = {"tracker", "last_gradient"},
                            .kinds = {adapt_then_combine(true), adapt_then_combine(false)}}
                    : Rules{.name = "gradient-tracking",
                            .state = {"correction"},
                            .num_sent = 1,
                            .kinds = {step(order == TrackingOrder::kDIGing)}}) {}

}  // namespace gossip::algorithm
