// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <variant>

#include <libgossip/algorithm/algorithm.h>
#include <libgossip/algorithm/interpret.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {
namespace {

template <class Predicate>
bool any_stage(std::span<const std::vector<Stage>> kinds, Predicate holds) {
  return std::ranges::any_of(
      kinds, [&](const std::vector<Stage>& stages) { return std::ranges::any_of(stages, holds); });
}

}  // namespace

bool Algorithm::combines_gradient() const {
  return changes_gradient() || any_stage(kinds(), [](const Stage& stage) {
           const auto* combine = std::get_if<Combine>(&stage);
           return combine != nullptr && reads(*combine, kGradient);
         });
}

bool Algorithm::changes_gradient() const {
  return any_stage(kinds(), [](const Stage& stage) { return changes(stage, kGradient); });
}

bool Algorithm::averages_gradient() const {
  return any_stage(kinds(), [](const Stage& stage) {
    const auto* mean = std::get_if<Mean>(&stage);
    return mean != nullptr && mean->vector == kGradient;
  });
}

bool Algorithm::uses_learning_rate() const {
  return any_stage(kinds(), [](const Stage& stage) {
    const auto* combine = std::get_if<Combine>(&stage);
    return combine != nullptr && uses_rate(*combine);
  });
}

bool Algorithm::pushes() const {
  return any_stage(kinds(), [](const Stage& stage) {
    const auto* mix = std::get_if<Mix>(&stage);
    return mix != nullptr && algorithm::pushes(*mix);
  });
}

std::size_t Algorithm::kind_of(std::int64_t step) const {
  return std::min(static_cast<std::size_t>(step), kinds().size() - 1);
}

void check_local_steps(std::int64_t steps) {
  constexpr std::int64_t kMost = 1'000'000'000'000;
  GOSSIP_CHECK(steps >= 1 && steps <= kMost,
               "local_steps is {}: the steps between two communications must be at least 1 and at "
               "most {}.",
               steps, kMost);
}

void check_range(std::string_view what, double value, double lower, double upper) {
  GOSSIP_CHECK(value >= lower && value < upper, "{} is {}: it must be at least {} and below {}.",
               what, value, lower, upper);
}

}  // namespace gossip::algorithm
