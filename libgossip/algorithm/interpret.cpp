// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/algorithm/interpret.h>

namespace gossip::algorithm {
namespace {

bool contains(const std::vector<int>& vectors, int vector) {
  return std::ranges::find(vectors, vector) != vectors.end();
}

bool has_scale(const Combine& stage, Scale one, Scale other) {
  return std::ranges::any_of(
      stage.terms, [&](const Term& term) { return term.scale == one || term.scale == other; });
}

template <class Kind>
std::size_t position_of(Stages stages) {
  const auto found = std::ranges::find_if(
      stages, [](const Stage& stage) { return std::holds_alternative<Kind>(stage); });
  return static_cast<std::size_t>(found - stages.begin());
}

}  // namespace

bool Combinations::reads(int vector) const {
  for (std::size_t i = 0; i < size(); ++i) {
    if (algorithm::reads((*this)[i], vector)) return true;
  }
  return false;
}

bool Combinations::changes(int vector) const {
  for (std::size_t i = 0; i < size(); ++i) {
    if ((*this)[i].vector == vector) return true;
  }
  return false;
}

bool Combinations::uses_rate() const {
  for (std::size_t i = 0; i < size(); ++i) {
    if (algorithm::uses_rate((*this)[i])) return true;
  }
  return false;
}

std::size_t num_leading_combinations(Stages stages) {
  const auto other = std::ranges::find_if_not(
      stages, [](const Stage& stage) { return std::holds_alternative<Combine>(stage); });
  return static_cast<std::size_t>(other - stages.begin());
}

Stages before_gradient(Stages step) noexcept {
  return has<Evaluate>(step) ? step.first(position_of<Evaluate>(step)) : Stages();
}

Stages after_gradient(Stages step) noexcept {
  return has<Evaluate>(step) ? step.subspan(position_of<Evaluate>(step) + 1) : step;
}

Stages before_communication(Stages stages) noexcept {
  return stages.first(std::min(position_of<Mix>(stages), position_of<Mean>(stages)));
}

bool relies_on_mean(Stages step) noexcept {
  return has<Combine>(step.subspan(position_of<Mean>(step)));
}

bool reads(const Combine& stage, int vector) noexcept {
  return std::ranges::find(stage.terms, vector, &Term::vector) != stage.terms.end();
}

bool changes(const Stage& stage, int vector) noexcept {
  if (const auto* combine = std::get_if<Combine>(&stage)) return combine->vector == vector;
  if (const auto* compress = std::get_if<Compress>(&stage)) return compress->vector == vector;
  if (const auto* mix = std::get_if<Mix>(&stage)) {
    return contains(mix->pulled, vector) || contains(mix->pushed, vector);
  }
  return false;
}

bool pulls(const Mix& stage) noexcept {
  return !stage.pulled.empty() || (stage.correction && !stage.correction->is_pushed);
}

bool pushes(const Mix& stage) noexcept {
  return !stage.pushed.empty() || (stage.correction && stage.correction->is_pushed);
}

bool uses_rate(const Combine& stage) noexcept {
  return has_scale(stage, Scale::kRate, Scale::kPerRate);
}

bool uses_weight(const Combine& stage) noexcept {
  return has_scale(stage, Scale::kWeight, Scale::kPerWeight);
}

double factor_of(const Term& term, double rate, double weight) noexcept {
  switch (term.scale) {
    case Scale::kRate:
      return term.factor * rate;
    case Scale::kPerRate:
      return term.factor / rate;
    case Scale::kWeight:
      return term.factor * weight;
    case Scale::kPerWeight:
      return term.factor / weight;
    case Scale::kOne:
      break;
  }
  return term.factor;
}

std::pair<std::size_t, std::size_t> range_of(const Fragment& fragment, std::size_t size) noexcept {
  const auto index = static_cast<std::size_t>(fragment.index);
  const auto count = static_cast<std::size_t>(fragment.count);
  return {size * index / count, size * (index + 1) / count};
}

}  // namespace gossip::algorithm
