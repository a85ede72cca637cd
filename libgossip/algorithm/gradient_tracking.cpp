// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <libgossip/algorithm/gradient_tracking.h>

namespace gossip::algorithm {
namespace {

constexpr int kTracker = kFirstState;
constexpr int kLastGradient = kFirstState + 1;

std::vector<Stage> step(TrackingOrder order, bool is_first) {
  std::vector<Stage> stages{
      {Action::kEvaluate, {kGradient}},
      {Action::kCombine, {kTracker}, {{kTracker, 1.0}, {kGradient, 1.0}, {kLastGradient, -1.0}}},
      {Action::kCombine, {kLastGradient}, {{kGradient, 1.0}}}};
  // The first tracker is the gradient of each rank's own start.
  if (order == TrackingOrder::kATC && !is_first) stages.push_back({Action::kPull, {kTracker}});
  stages.push_back({Action::kCombine, {kGradient}, {{kTracker, 1.0}}});
  if (order == TrackingOrder::kDIGing) stages.push_back({Action::kPull, {kModel, kTracker}});
  stages.push_back({Action::kLocalUpdate, {kModel}});
  if (order == TrackingOrder::kSemiATC) stages.push_back({Action::kPull, {kModel, kTracker}});
  if (order == TrackingOrder::kATC) stages.push_back({Action::kPull, {kModel}});
  return stages;
}

}  // namespace

GradientTracking::GradientTracking(TrackingOrder order)
    : first_(step(order, true)), later_(step(order, false)) {}

std::span<const std::string_view> GradientTracking::state() const {
  static constexpr std::array<std::string_view, 2> kNames{"tracker", "last_gradient"};
  return kNames;
}

std::span<const Stage> GradientTracking::stages(std::int64_t step) const {
  return step == 0 ? first_ : later_;
}

}  // namespace gossip::algorithm
