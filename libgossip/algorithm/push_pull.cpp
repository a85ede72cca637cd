// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/algorithm/push_pull.h>

namespace gossip::algorithm {
namespace {

constexpr int kTracker = kFirstState;
constexpr int kLastGradient = kFirstState + 1;

/// Z = Y - G is kept, as in GradientTracking.
std::vector<Stage> step(PushPullOrder order) {
  constexpr int kCorrection = kFirstState;
  constexpr int kSentTracker = kFirstState + 1;
  const Mix communication = with_sent(push({kModel}, {}), kSentTracker, kCorrection, true);
  std::vector<Stage> stages{evaluate(),
                            combine(kSentTracker, {{kCorrection, 1.0}, {kGradient, 1.0}}),
                            local_update(kSentTracker)};
  stages.insert(order == PushPullOrder::kAB ? stages.end() - 1 : stages.end(), communication);
  return stages;
}

/// With device sampling a tracker also travels in steps without a gradient.
std::vector<Stage> active_step() {
  return {evaluate(), combine(kTracker, {{kTracker, 1.0}, {kGradient, 1.0}, {kLastGradient, -1.0}}),
          combine(kLastGradient, {{kGradient, 1.0}}), local_update(kTracker),
          push({kModel}, {kTracker})};
}

std::vector<Stage> inactive_step(Stepping stepping) {
  if (stepping == Stepping::kActive) return {push({kModel}, {kTracker})};
  return {local_update(kTracker), push({kModel}, {kTracker})};
}

}  // namespace

PushPull::PushPull(PushPullOrder order)
    : Algorithm({.name = "push-pull",
                 .mixing_needs = MixingNeeds::kDirected,
                 .state = {"correction"},
                 .num_sent = 1,
                 .kinds = {step(order)},
                 .skips_rounds = true}) {}

PushPull::PushPull(IsActive is_active, Stepping stepping)
    : Algorithm({.name = "push-pull-device-sampling",
                 .mixing_needs = MixingNeeds::kDirected,
                 .state = {"tracker", "last_gradient"},
                 .kinds = {active_step(), inactive_step(stepping)},
                 .skips_rounds = true,
                 .gives_with_gradient_only = true}),
      is_active_(std::move(is_active)) {}

std::size_t PushPull::kind_of(std::int64_t step) const {
  return !is_active_ || is_active_(step) ? 0 : 1;
}

}  // namespace gossip::algorithm
