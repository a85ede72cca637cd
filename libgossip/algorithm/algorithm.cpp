// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/algorithm/algorithm.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {
namespace {

bool touches(const Stage& stage, int vector) {
  const auto is_in = [&](const std::vector<int>& list) {
    return std::ranges::find(list, vector) != list.end();
  };
  return is_in(stage.vectors) || is_in(stage.pushed) ||
         std::ranges::find(stage.terms, vector, &Term::vector) != stage.terms.end();
}

template <class Predicate>
bool any_stage(std::span<const std::vector<Stage>> kinds, Predicate holds) {
  return std::ranges::any_of(
      kinds, [&](const std::vector<Stage>& stages) { return std::ranges::any_of(stages, holds); });
}

}  // namespace

bool Algorithm::combines_gradient() const {
  return any_stage(kinds(), [](const Stage& stage) {
    return stage.action != Action::kEvaluate && stage.action != Action::kMean &&
           touches(stage, kGradient);
  });
}

bool Algorithm::changes_gradient() const {
  return any_stage(kinds(), [](const Stage& stage) {
    if (stage.action == Action::kEvaluate || stage.action == Action::kMean) return false;
    return touches({stage.action, stage.vectors, {}, stage.pushed}, kGradient);
  });
}

bool Algorithm::averages_gradient() const {
  return any_stage(kinds(), [](const Stage& stage) {
    return stage.action == Action::kMean && touches(stage, kGradient);
  });
}

bool Algorithm::uses_learning_rate() const {
  return any_stage(kinds(), [](const Stage& stage) {
    return std::ranges::any_of(stage.terms, [](const Term& term) {
      return term.scale == Scale::kRate || term.scale == Scale::kPerRate;
    });
  });
}

std::size_t Algorithm::kind_of(std::int64_t step) const {
  return std::min(static_cast<std::size_t>(step), kinds().size() - 1);
}

Stage evaluate() { return {Action::kEvaluate, {kGradient}}; }

Stage local_update(int along) {
  Stage stage{Action::kLocalUpdate, {kModel}};
  if (along != kGradient) stage.terms = {{along, 1.0}};
  return stage;
}

Stage combine(int vector, std::vector<Term> terms, Fragment fragment) {
  Stage stage{Action::kCombine, {vector}, std::move(terms)};
  stage.fragment = fragment;
  return stage;
}

Stage compress(int vector) { return {Action::kCompress, {vector}}; }

Stage mix(std::vector<int> pulled) { return {Action::kMix, std::move(pulled)}; }

Stage mix_compressed(int vector) {
  Stage stage{Action::kMix, {vector}};
  stage.is_compressed = true;
  return stage;
}

Stage push(std::vector<int> pulled, std::vector<int> pushed) {
  Stage stage{Action::kMix, std::move(pulled)};
  stage.pushed = std::move(pushed);
  return stage;
}

Stage with_sent(Stage mix, int sent, int corrected, bool is_pushed) {
  mix.sent = sent;
  mix.corrected = corrected;
  mix.is_sent_pushed = is_pushed;
  return mix;
}

Stage mean(int vector, Fragment fragment) {
  Stage stage{Action::kMean, {vector}};
  stage.fragment = fragment;
  return stage;
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
