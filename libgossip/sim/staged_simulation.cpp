// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>
#include <variant>

#include <libgossip/base/error.h>
#include <libgossip/sim/staged_simulation.h>
#include <libgossip/topology/checks.h>

namespace gossip::sim {
namespace {

using algorithm::Combinations;
using algorithm::Combine;
using algorithm::Compress;
using algorithm::Correction;
using algorithm::Evaluate;
using algorithm::kGradient;
using algorithm::kModel;
using algorithm::LocalUpdate;
using algorithm::Mean;
using algorithm::Mix;
using algorithm::MixingNeeds;
using algorithm::Stage;
using topology::Neighbor;
using topology::Neighborhood;

std::size_t num_receivers(const Neighborhood& pull, const Neighborhood& push) {
  const auto in_both = std::ranges::count_if(pull.out, [&](const Neighbor& receiver) {
    return std::ranges::find(push.out, receiver.rank, &Neighbor::rank) != push.out.end();
  });
  return pull.out.size() + push.out.size() - static_cast<std::size_t>(in_both);
}

}  // namespace

StagedSimulation::StagedSimulation(Method method, topology::Matrices matrices,
                                   std::size_t num_elements, double learning_rate)
    : StagedSimulation(
          std::vector<Method>(static_cast<std::size_t>(matrices.pull.size()), std::move(method)),
          matrices, num_elements, learning_rate) {}

StagedSimulation::StagedSimulation(const std::vector<Method>& methods, topology::Matrices matrices,
                                   std::size_t num_elements, double learning_rate)
    : matrices_(std::move(matrices)), num_elements_(num_elements), learning_rate_(learning_rate) {
  GOSSIP_CHECK(
      methods.size() == static_cast<std::size_t>(size()) && matrices_.push.size() == size(),
      "There are methods for {} workers, but '{}' is made for {} and '{}' for {}.", methods.size(),
      matrices_.pull.name(), size(), matrices_.push.name(), matrices_.push.size());
  std::size_t num_own = 0;
  for (Rank worker = 0; worker < size(); ++worker) {
    const Method& method = methods[static_cast<std::size_t>(worker)];
    if (teams_.empty() || teams_.back().method != method) {
      if (teams_.empty()) check(*method);
      num_own =
          std::max(num_own, method->state().size() + static_cast<std::size_t>(method->num_sent()));
      teams_.push_back({.method = method, .begin = worker, .end = worker});
    }
    ++teams_.back().end;
  }
  vectors_.resize(algorithm::kFirstState + num_own);
  set_models(std::vector<double>(methods.size() * num_elements, 0.0));
}

/// The needs of one method are those of all.
void StagedSimulation::check(const algorithm::Algorithm& method) const {
  GOSSIP_CHECK(learning_rate_ >= 0.0 && std::isfinite(learning_rate_) &&
                   (learning_rate_ > 0.0 || !method.uses_learning_rate()),
               "The learning rate is {}: '{}' needs a number {} 0.", learning_rate_, method.name(),
               method.uses_learning_rate() ? "above" : "of at least");
  for (const std::vector<Stage>& stages : method.kinds()) {
    GOSSIP_CHECK(!algorithm::has<Compress>(stages),
                 "'{}' compresses, which is not simulated: engine::StagedWorker runs it on threads "
                 "or processes.",
                 method.name());
  }
  if (method.mixing_needs() == MixingNeeds::kDirected) {
    topology::validate_row_stochastic(matrices_.pull);
    topology::validate_column_stochastic(matrices_.push);
  } else if (method.mixing_needs() != MixingNeeds::kNone) {
    topology::validate_doubly_stochastic(matrices_.pull);
  }
}

void StagedSimulation::set_models(std::span<const double> models) {
  const std::size_t length = static_cast<std::size_t>(size()) * num_elements_;
  GOSSIP_CHECK(models.size() == length,
               "The group has {} workers of {} elements, but {} numbers were given.", size(),
               num_elements_, models.size());
  for (std::vector<double>& vector : vectors_) vector.assign(length, 0.0);
  std::ranges::copy(models, vectors_[kModel].begin());
  weights_.assign(static_cast<std::size_t>(size()), 1.0);
  step_ = round_ = gradients_ = messages_ = bytes_sent_ = 0;
}

void StagedSimulation::step(const Gradient& gradient) {
  bool has_mixed = false;
  for (Team& team : teams_) team.rest = team.method->stages(step_);
  for (;;) {
    for (Team& team : teams_) run_to_communication(team, gradient);
    const Stage* stage = next_communication();
    if (stage == nullptr) break;
    if (const auto* mixing = std::get_if<Mix>(stage)) {
      mix(*mixing);
      has_mixed = true;
    } else {
      mean(std::get<Mean>(*stage));
    }
    for (Team& team : teams_) team.rest = team.rest.subspan(1);
  }
  // All mixings of a step take the same round.
  if (has_mixed) ++round_;
  ++step_;
}

void StagedSimulation::run_to_communication(Team& team, const Gradient& gradient) {
  const Stages local = algorithm::before_communication(team.rest);
  algorithm::walk(local, [&]<class One>(const One& stage) {
    if constexpr (std::is_same_v<One, Evaluate>) evaluate(team, gradient);
    if constexpr (std::is_same_v<One, LocalUpdate>) update(team, stage);
    if constexpr (std::is_same_v<One, Combinations>) combine(team, stage);
  });
  team.rest = team.rest.subspan(local.size());
}

/// Null at the end of the step.
const Stage* StagedSimulation::next_communication() const {
  const Team& first = teams_.front();
  for (const Team& team : teams_) {
    GOSSIP_CHECK(team.rest.empty() == first.rest.empty() &&
                     (first.rest.empty() || team.rest.front() == first.rest.front()),
                 "In step {} worker {} ('{}') does not communicate what worker 0 ('{}') does: all "
                 "workers must mix the same vectors in the same order.",
                 step_, team.begin, team.method->name(), first.method->name());
  }
  return first.rest.empty() ? nullptr : &first.rest.front();
}

void StagedSimulation::evaluate(const Team& team, const Gradient& gradient) {
  for (Rank worker = team.begin; worker < team.end; ++worker) {
    const std::size_t begin = static_cast<std::size_t>(worker) * num_elements_;
    const auto own = std::span(vectors_[kGradient]).subspan(begin, num_elements_);
    if (!gradient) {
      std::ranges::fill(own, 0.0);
      continue;
    }
    gradient(worker, model(worker), own);
    ++gradients_;
  }
}

void StagedSimulation::update(const Team& team, const LocalUpdate& stage) {
  const std::size_t begin = static_cast<std::size_t>(team.begin) * num_elements_;
  const std::size_t length = static_cast<std::size_t>(team.end - team.begin) * num_elements_;
  const std::vector<double>& along = vectors_[static_cast<std::size_t>(stage.along)];
  kernels::axpby(-learning_rate_, std::span(along).subspan(begin, length), 1.0,
                 std::span(vectors_[kModel]).subspan(begin, length));
}

void StagedSimulation::combine(const Team& team, const Combinations& stages) {
  for (std::size_t i = 0; i < stages.size(); ++i) combine(team, stages[i]);
}

/// All workers of a team at once, if they do the same.
void StagedSimulation::combine(const Team& team, const Combine& stage) {
  const auto start_of = [this](Rank worker) {
    return static_cast<std::size_t>(worker) * num_elements_;
  };
  if (stage.fragment.count == 1 && !algorithm::uses_weight(stage)) {
    combine(stage, start_of(team.begin), start_of(team.end), 1.0);
    return;
  }
  const auto [first, last] = algorithm::range_of(stage.fragment, num_elements_);
  for (Rank worker = team.begin; worker < team.end; ++worker) {
    combine(stage, start_of(worker) + first, start_of(worker) + last, weight(worker));
  }
}

void StagedSimulation::combine(const Combine& stage, std::size_t begin, std::size_t end,
                               double weight) {
  const auto data_of = [&](int vector) -> const double* {
    return vectors_[static_cast<std::size_t>(vector)].data() + begin;
  };
  algorithm::list_sources(stage, learning_rate_, weight, data_of, sources_);
  std::vector<double>& out = vectors_[static_cast<std::size_t>(stage.vector)];
  kernels::combine(std::span(out).subspan(begin, end - begin),
                   std::span<const kernels::Source<double>>(sources_));
}

/// A static topology is asked for once.
void StagedSimulation::load_round() {
  const bool is_static = matrices_.pull.period() == 1 && matrices_.push.period() == 1;
  const std::int64_t number = is_static ? 0 : round_;
  if (loaded_.number == number) return;
  loaded_.number = number;
  loaded_.pull.resize(weights_.size());
  loaded_.push.resize(weights_.size());
  loaded_.pull_messages = loaded_.push_messages = loaded_.both_messages = 0;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    matrices_.pull.neighborhood(number, static_cast<Rank>(i), loaded_.pull[i]);
    matrices_.push.neighborhood(number, static_cast<Rank>(i), loaded_.push[i]);
    loaded_.pull_messages += static_cast<std::int64_t>(loaded_.pull[i].out.size());
    loaded_.push_messages += static_cast<std::int64_t>(loaded_.push[i].out.size());
    loaded_.both_messages +=
        static_cast<std::int64_t>(num_receivers(loaded_.pull[i], loaded_.push[i]));
  }
}

void StagedSimulation::mix(const Mix& stage) {
  load_round();
  for (const int vector : stage.pulled) pull(vector);
  for (const int vector : stage.pushed) push(vector);
  if (stage.carries_weight) push_weights();
  if (stage.correction) correct(*stage.correction);
  const std::int64_t sent = !algorithm::pushes(stage)  ? loaded_.pull_messages
                            : !algorithm::pulls(stage) ? loaded_.push_messages
                                                       : loaded_.both_messages;
  messages_ += sent;
  const std::size_t vectors =
      stage.pulled.size() + stage.pushed.size() + (stage.correction ? 1 : 0);
  bytes_sent_ += sent * static_cast<std::int64_t>(vectors * num_elements_ * sizeof(double));
}

/// As engine::Mixer: in difference form.
void StagedSimulation::pull(int vector) {
  std::vector<double>& values = vectors_[static_cast<std::size_t>(vector)];
  mixed_ = values;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    sources_.clear();
    for (const Neighbor& sender : loaded_.pull[i].in) {
      const std::size_t begin = static_cast<std::size_t>(sender.rank) * num_elements_;
      sources_.push_back({values.data() + begin, sender.weight});
    }
    kernels::mix(std::span(mixed_).subspan(i * num_elements_, num_elements_),
                 std::span<const kernels::Source<double>>(sources_));
  }
  std::swap(values, mixed_);
}

/// As engine::Mixer: a worker keeps all but the shares that it sends.
void StagedSimulation::push(int vector) {
  std::vector<double>& values = vectors_[static_cast<std::size_t>(vector)];
  mixed_.resize(values.size());
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    double kept = 1.0;
    for (const Neighbor& receiver : loaded_.push[i].out) kept -= receiver.weight;
    sources_.assign({{values.data() + i * num_elements_, kept}});
    for (const Neighbor& sender : loaded_.push[i].in) {
      const std::size_t begin = static_cast<std::size_t>(sender.rank) * num_elements_;
      sources_.push_back({values.data() + begin, sender.weight});
    }
    kernels::combine(std::span(mixed_).subspan(i * num_elements_, num_elements_),
                     std::span<const kernels::Source<double>>(sources_));
  }
  std::swap(values, mixed_);
}

/// As engine::Mixer: what mixing would change of a vector that is only sent.
void StagedSimulation::correct(const Correction& stage) {
  const std::span<const double> values(vectors_[static_cast<std::size_t>(stage.sent)]);
  const std::span<double> corrections(vectors_[static_cast<std::size_t>(stage.vector)]);
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const Neighborhood& neighborhood = (stage.is_pushed ? loaded_.push : loaded_.pull)[i];
    const auto own = values.subspan(i * num_elements_, num_elements_);
    const auto correction = corrections.subspan(i * num_elements_, num_elements_);
    sources_.clear();
    double kept = stage.replaces ? 1.0 : 0.0;
    for (const Neighbor& receiver : neighborhood.out) kept -= receiver.weight;
    if (stage.is_pushed) sources_.push_back({own.data(), kept});
    for (const Neighbor& sender : neighborhood.in) {
      const std::size_t begin = static_cast<std::size_t>(sender.rank) * num_elements_;
      sources_.push_back({values.data() + begin, sender.weight});
    }
    const std::span<const kernels::Source<double>> all(sources_);
    if (stage.replaces) {
      kernels::combine(correction, all);
    } else if (stage.is_pushed) {
      kernels::add(correction, all);
    } else {
      kernels::add_differences(correction, own, all);
    }
  }
}

void StagedSimulation::push_weights() {
  std::vector<double> pushed(weights_.size());
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    pushed[i] = loaded_.push[i].self_weight * weights_[i];
    for (const Neighbor& sender : loaded_.push[i].in) {
      pushed[i] += sender.weight * weights_[static_cast<std::size_t>(sender.rank)];
    }
  }
  weights_ = std::move(pushed);
}

void StagedSimulation::mean(const Mean& stage) {
  std::vector<double>& values = vectors_[static_cast<std::size_t>(stage.vector)];
  const auto [first, last] = algorithm::range_of(stage.fragment, num_elements_);
  std::vector<double> sum(last - first, 0.0);
  const auto part_of = [&, from = first](std::size_t worker) {
    return std::span(values).subspan(worker * num_elements_ + from, sum.size());
  };
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    kernels::axpby(1.0, std::span<const double>(part_of(i)), 1.0, std::span(sum));
  }
  kernels::scale(std::span(sum), 1.0 / size());
  for (std::size_t i = 0; i < weights_.size(); ++i) std::ranges::copy(sum, part_of(i).begin());
  const std::int64_t sent = std::int64_t{2} * (size() - 1);
  messages_ += sent;
  bytes_sent_ += sent * static_cast<std::int64_t>(sum.size() * sizeof(double));
}

std::span<const double> StagedSimulation::vector(Rank worker, int index) const {
  GOSSIP_ASSERT(worker >= 0 && worker < size() && index >= 0 &&
                    static_cast<std::size_t>(index) < vectors_.size(),
                "there is no vector {} of worker {}", index, worker);
  return std::span(vectors_[static_cast<std::size_t>(index)])
      .subspan(static_cast<std::size_t>(worker) * num_elements_, num_elements_);
}

double StagedSimulation::weight(Rank worker) const {
  return weights_[static_cast<std::size_t>(worker)];
}

}  // namespace gossip::sim
