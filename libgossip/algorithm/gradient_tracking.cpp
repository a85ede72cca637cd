// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/gradient_tracking.h>

namespace gossip::algorithm {
namespace {

constexpr int kTracker = kFirstState;
constexpr int kLastGradient = kFirstState + 1;

std::vector<Stage> step(TrackingOrder order, bool is_first) {
  std::vector<Stage> stages{
      evaluate(), combine(kTracker, {{kTracker, 1.0}, {kGradient, 1.0}, {kLastGradient, -1.0}}),
      combine(kLastGradient, {{kGradient, 1.0}})};
  // The first tracker is the gradient of each rank's own start.
  if (order == TrackingOrder::kATC && !is_first) stages.push_back(mix({kTracker}));
  stages.push_back(combine(kGradient, {{kTracker, 1.0}}));
  if (order == TrackingOrder::kDIGing) stages.push_back(mix({kModel, kTracker}));
  stages.push_back(local_update());
  if (order == TrackingOrder::kSemiATC) stages.push_back(mix({kModel, kTracker}));
  if (order == TrackingOrder::kATC) stages.push_back(mix({kModel}));
  return stages;
}

}  // namespace

GradientTracking::GradientTracking(TrackingOrder order)
    : Algorithm({.name = "gradient-tracking",
                 .state = {"tracker", "last_gradient"},
                 .kinds = {step(order, true), step(order, false)}}) {}

}  // namespace gossip::algorithm
