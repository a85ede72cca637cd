// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/algorithm/push_pull.h>

namespace gossip::algorithm {
namespace {

constexpr int kTracker = kFirstState;
constexpr int kLastGradient = kFirstState + 1;

std::vector<Stage> active_step(PushPullOrder order) {
  std::vector<Stage> stages{
      evaluate(), combine(kTracker, {{kTracker, 1.0}, {kGradient, 1.0}, {kLastGradient, -1.0}}),
      combine(kLastGradient, {{kGradient, 1.0}}), combine(kGradient, {{kTracker, 1.0}})};
  const Stage communication = push({kModel}, {kTracker});
  if (order == PushPullOrder::kAB) stages.push_back(communication);
  stages.push_back(local_update());
  if (order == PushPullOrder::kPushPull) stages.push_back(communication);
  return stages;
}

std::vector<Stage> inactive_step(Stepping stepping) {
  if (stepping == Stepping::kActive) return {push({kModel}, {kTracker})};
  return {combine(kGradient, {{kTracker, 1.0}}), local_update(), push({kModel}, {kTracker})};
}

}  // namespace

PushPull::PushPull(PushPullOrder order)
    : Algorithm({.name = "push-pull",
                 .mixing_needs = MixingNeeds::kDirected,
                 .state = {"tracker", "last_gradient"},
                 .kinds = {active_step(order)}}) {}

PushPull::PushPull(IsActive is_active, Stepping stepping)
    : Algorithm({.name = "push-pull-device-sampling",
                 .mixing_needs = MixingNeeds::kDirected,
                 .state = {"tracker", "last_gradient"},
                 .kinds = {active_step(PushPullOrder::kPushPull), inactive_step(stepping)}}),
      is_active_(std::move(is_active)) {}

std::size_t PushPull::kind_of(std::int64_t step) const {
  return !is_active_ || is_active_(step) ? 0 : 1;
}

}  // namespace gossip::algorithm
