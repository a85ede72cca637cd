// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <utility>
#include <variant>

#include <libgossip/algorithm/matrix_checks.h>
#include <libgossip/base/error.h>
#include <libgossip/base/message_layout.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/topology/checks.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {
namespace {

using algorithm::Combinations;
using algorithm::Compress;
using algorithm::kFirstState;
using algorithm::kGradient;
using algorithm::LocalUpdate;
using algorithm::Mean;
using algorithm::Mix;
using algorithm::MixingNeeds;
using algorithm::Stage;

}  // namespace

StagedWorker::StagedWorker(transport::Group& group,
                           std::shared_ptr<const algorithm::Algorithm> algorithm,
                           const topology::Matrices& matrices, ModelPort& port,
                           const StagedWorkerOptions& options)
    : algorithm_(std::move(algorithm)),
      port_(port),
      ranks_(group.size()),
      uses_rate_(algorithm_->uses_learning_rate()) {
  vectors_ = {port.model(), {}};
  if (algorithm_->changes_gradient()) {
    vectors_[kGradient] = port.gradient();
  } else if (algorithm_->averages_gradient()) {
    vectors_[kGradient] = port.gradient_to_average();
  }
  make_state(port.model());  // not of vectors_, which grows
  for (int sent = 0; sent < algorithm_->num_sent(); ++sent) vectors_.emplace_back();
  if (algorithm_->mixing_needs() != MixingNeeds::kNone) {
    transport::check_together(group, [&] {
      topology::check_size(matrices.pull.name(), matrices.pull.size(), ranks_);
      if (algorithm_->pushes()) {
        topology::check_size(matrices.push.name(), matrices.push.size(), ranks_);
      }
      if (options.checks_matrices) algorithm::check_matrices(matrices, *algorithm_);
    });
  }
  make_membership(group, matrices, options);
  for (const std::vector<Stage>& stages : algorithm_->kinds()) {
    for (const Stage& stage : stages) {
      if (const auto* mix = std::get_if<Mix>(&stage)) make_exchange(group, *mix, matrices, options);
      if (const auto* mean = std::get_if<Mean>(&stage)) make_mean(group, *mean, options);
    }
  }
  // One mixer's wait takes no late values of another, nor does a mean's.
  keeps_mean_ = options.closes_as_agreed && means_.empty() &&
                algorithm_->mixing_needs() == MixingNeeds::kDoublyStochastic &&
                (exchanges_.size() == 1 || matrices.pull.period() == 1);
  if (!exchanges_.empty() && means_.empty()) topology::warn_if_apart(group.rank(), matrices.pull);
}

/// A method that takes means waits for all ranks.
void StagedWorker::make_membership(transport::Group& group, const topology::Matrices& matrices,
                                   const StagedWorkerOptions& options) {
  const bool is_among_all = algorithm_->mixing_needs() == MixingNeeds::kNone ||
                            std::ranges::any_of(algorithm_->kinds(), [](const auto& stages) {
                              return algorithm::has<Mean>(stages);
                            });
  std::optional<std::vector<Rank>> neighbors;
  if (!is_among_all) {
    neighbors = topology::neighbors_of(group.rank(), matrices, {.push = algorithm_->pushes()});
    std::ranges::sort(*neighbors);
  }
  membership_.emplace(
      group, std::move(neighbors),
      MembershipOptions{.timeout = options.timeout, .on_lost_neighbor = options.on_lost_neighbor});
}

void StagedWorker::make_state(const std::vector<VectorView>& shapes) {
  const MessageLayout layout(shapes);
  for (std::size_t i = 0; i < algorithm_->state().size(); ++i) {
    const std::span<std::byte> memory = layout.make_room(memory_.emplace_back());
    std::vector<VectorView>& views = vectors_.emplace_back();
    for (std::size_t v = 0; v < shapes.size(); ++v) views.push_back(layout.view(memory, v));
  }
}

std::vector<VectorView> StagedWorker::views_of(const std::vector<int>& vectors) const {
  std::vector<VectorView> together;
  for (const int vector : vectors) {
    const std::vector<VectorView>& views = vectors_[static_cast<std::size_t>(vector)];
    together.insert(together.end(), views.begin(), views.end());
  }
  return together;
}

StagedWorker::Exchange* StagedWorker::exchange_of(const Mix& stage) {
  const auto found = std::ranges::find(exchanges_, stage, &Exchange::mix);
  return found == exchanges_.end() ? nullptr : &*found;
}

StagedWorker::MeanOf* StagedWorker::mean_of(const Mean& stage) {
  const auto found = std::ranges::find(means_, stage, &MeanOf::stage);
  return found == means_.end() ? nullptr : &*found;
}

/// What different steps send together shares a channel.
void StagedWorker::make_exchange(transport::Group& group, const Mix& stage,
                                 const topology::Matrices& matrices,
                                 const StagedWorkerOptions& options) {
  if (exchange_of(stage) != nullptr) return;
  Patience patience(options.timeout);
  patience.while_waiting = [this] { membership_->check_all_train(needed_step_); };
  Mixer::Vectors vectors{.pulled = views_of(stage.pulled), .pushed = views_of(stage.pushed)};
  if (stage.is_compressed) {
    GOSSIP_ASSERT(options.codec != nullptr, "'{}' compresses, but there is no codec",
                  algorithm_->name());
    vectors.codec = options.codec;
  }
  if (stage.correction) {
    vectors.corrections = views_of({stage.correction->vector});
    vectors.are_corrections_pushed = stage.correction->is_pushed;
    vectors.are_corrections_replaced = stage.correction->replaces;
  }
  exchanges_.push_back(
      {stage, std::make_unique<Mixer>(group, matrices, std::move(vectors), patience, &*membership_,
                                      options.closes_as_agreed)});
}

void StagedWorker::make_mean(transport::Group& group, const Mean& stage,
                             const StagedWorkerOptions& options) {
  if (mean_of(stage) != nullptr) return;
  Patience patience(options.timeout);
  // Whoever waits for it.
  patience.while_waiting = [this] { membership_->check_all_train(position_.step); };
  std::vector<VectorView> views = views_of({stage.vector});
  for (VectorView& view : views) {
    const auto [begin, end] = algorithm::range_of(stage.fragment, view.size);
    view = view.part(begin, end - begin);
  }
  std::vector<VectorView> buckets = cut_into_buckets(views, options.bucket_bytes);
  std::reverse(buckets.begin(), buckets.end());
  auto mean = std::make_unique<BucketedMean>(
      group, buckets, patience, stage.vector == kGradient ? port_.gradient_memory() : nullptr);
  means_.push_back({stage, std::move(buckets), std::move(mean)});
}

BucketedMean* StagedWorker::gradient_mean() {
  MeanOf* mean = mean_of({kGradient});
  return mean != nullptr ? mean->mean.get() : nullptr;
}

const std::vector<VectorView>& StagedWorker::gradient_buckets() const {
  static const std::vector<VectorView> kNone;
  const auto mean =
      std::ranges::find_if(means_, [](const MeanOf& one) { return one.stage.vector == kGradient; });
  return mean != means_.end() ? mean->buckets : kNone;
}

bool StagedWorker::needs_gradient() const { return algorithm::has<algorithm::Evaluate>(stages()); }

void StagedWorker::prepare(const policy::Decision& decision) {
  if (!algorithm_->gives_with_gradient_only()) check_computes(decision);
  check_wait(decision);
  computes_ = decision.computes;
  communicates_ = decision.communicates;
  wait_ = decision.wait;
  needed_step_ = position_.step - 1;  // others prepare at the end of the step before
  run(algorithm::before_gradient(stages()));
}

void StagedWorker::set_position(const Position& position) {
  settle();
  position_ = position;
  computes_ = true;
  membership_->set_steps(position.step);
  // Which the state has behind it.
  has_communicated_ = algorithm::has<Mix>(algorithm::before_gradient(stages()));
}

/// Others may wait for this rank to take what it has closed rounds without.
void StagedWorker::leave() {
  for (const Exchange& exchange : exchanges_) exchange.mixer->drain();
  membership_->leave();
}

void StagedWorker::check_wait(const policy::Decision& decision) const {
  if (decision.wait == nullptr) return;
  GOSSIP_CHECK(algorithm_->bears_late_values() || keeps_mean_,
               "A rank was to close a round of '{}' by a wait policy, but the method needs the "
               "values of all neighbors: take gossip-sgd, no policy, or a method that tracks "
               "gradients, with rounds that close as agreed and a topology that stays.",
               algorithm_->name());
  GOSSIP_CHECK(!decision.wait->reads_latest() && !membership_->may_drop(),
               "A wait policy that reads the newest values, or one together with on_lost_neighbor "
               "'drop', is not there yet: take another policy, or async-gossip.");
}

void StagedWorker::check_finish(const policy::Decision& decision) const {
  check_wait(decision);
  GOSSIP_CHECK(decision.communicates || ranks_ == 1 || !algorithm::relies_on_mean(stages()),
               "'{}' ends a round with step {}, for which it needs the other ranks: accumulate "
               "gradients under no_sync(), but call this step() outside of it.",
               algorithm_->name(), position_.step);
  if (uses_rate_ && algorithm::has<LocalUpdate>(stages())) static_cast<void>(learning_rate());
}

void StagedWorker::finish(const policy::Decision& decision) {
  check_finish(decision);
  communicates_ = decision.communicates;
  wait_ = decision.wait;
  needed_step_ = position_.step;
  is_gradient_loaded_ = is_gradient_changed_ = false;
  const Stages step = stages();
  settle();
  open_messages(step);
  const LocalUpdate* update = algorithm::find<LocalUpdate>(step);
  if (uses_rate_ && update != nullptr) {
    position_.rates += learning_rate();
    ++position_.rated;
  }
  if (!communicates_ && algorithm::has<Compress>(step)) {
    run(*update);  // what others do not hear of must not be counted as sent
  } else {
    run(algorithm::after_gradient(step));
  }
  // All mixings of a step take the same round.
  const bool uses_round = has_communicated_ || algorithm_->skips_rounds();
  if (algorithm::has<Mix>(step) && uses_round) ++position_.round;
  if (has_communicated_) {
    position_.rates = 0.0;
    position_.rated = 0;
  }
  has_communicated_ = false;
  membership_->set_steps(++position_.step);
}

void StagedWorker::run(Stages stages) {
  algorithm::walk(stages, [&](const auto& stage) { run(stage); });
}

void StagedWorker::run(const LocalUpdate& stage) {
  if (stage.along == kGradient && !is_gradient_changed_) {
    port_.local_update();
  } else {
    port_.local_update_along(vectors_[static_cast<std::size_t>(stage.along)]);
  }
}

void StagedWorker::run(const Combinations& stages) {
  load_gradient(stages);
  const double rate = stages.uses_rate() ? mean_rate() : 0.0;
  combiner_.combine(stages, {rate, position_.weight}, is_gradient_loaded_ ? gradient_ : nullptr);
}

void StagedWorker::run(const Compress& stage) {
  const auto sends_it = [&](const Exchange& exchange) {
    return exchange.mix.is_compressed && exchange.mix.pulled.front() == stage.vector;
  };
  std::ranges::find_if(exchanges_, sends_it)->mixer->compress();
}

void StagedWorker::run(const Mix& stage) {
  if (!communicates_) return;
  Mixer& mixer = *exchange_of(stage)->mixer;
  const bool gives = !algorithm_->gives_with_gradient_only() || needs_gradient();
  const double weight = gives ? mixer.mix(position_.round, position_.weight, wait_)
                              : mixer.skip(position_.round, position_.weight);
  if (stage.carries_weight) position_.weight = weight;
  has_communicated_ = true;
}

void StagedWorker::run(const Mean& stage) {
  if (!communicates_) return;
  if (stage.vector != kGradient || !port_.average_gradient()) mean_of(stage)->mean->finish();
  has_communicated_ = true;
}

/// What a step leaves to be done beside the caller's next gradient.
void StagedWorker::settle() {
  for (const Exchange& exchange : exchanges_) exchange.mixer->settle();
}

/// Vectors that are only sent are written straight into the message.
void StagedWorker::open_messages(Stages stages) {
  for (const Stage& stage : stages) {
    const auto* mix = std::get_if<Mix>(&stage);
    if (mix == nullptr || !mix->correction) continue;
    Mixer& mixer = *exchange_of(*mix)->mixer;
    vectors_[static_cast<std::size_t>(mix->correction->sent)] =
        communicates_ ? mixer.outgoing(position_.round) : mixer.outgoing_kept();
  }
}

void StagedWorker::load_gradient(const Combinations& stages) {
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const bool is_read = algorithm::reads(stages[i], kGradient);
    if (is_read && !is_gradient_loaded_) {
      if (algorithm_->changes_gradient()) {
        counters_.bytes_touched += port_.load_gradient();
      } else {
        gradient_ = &port_.find_gradient();
      }
    }
    const bool is_changed = stages[i].vector == kGradient;
    is_gradient_loaded_ |= is_read || is_changed;
    is_gradient_changed_ |= is_changed;
  }
}

double StagedWorker::learning_rate() const {
  const double rate = port_.learning_rate();
  GOSSIP_CHECK(rate > 0.0,
               "The learning rate is {}, but '{}' divides by it: it must be positive in every step "
               "(start a warm-up above 0).",
               rate, algorithm_->name());
  return rate;
}

double StagedWorker::mean_rate() const {
  if (position_.rated == 0) return learning_rate();
  return position_.rates / static_cast<double>(position_.rated);
}

std::vector<StateVector> StagedWorker::state() {
  settle();
  std::vector<StateVector> result;
  for (std::size_t i = 0; i < algorithm_->state().size(); ++i) {
    const std::vector<VectorView>& views = vectors_[kFirstState + i];
    for (std::size_t part = 0; part < views.size(); ++part) {
      result.push_back({fmt::format("{}_{}", algorithm_->state()[i], part), views[part]});
    }
  }
  return result;
}

Counters StagedWorker::counters() const {
  Counters sum = counters_;
  sum.bytes_touched += combiner_.bytes_touched();
  sum.bytes_touched_least += combiner_.bytes_touched_least();
  membership_->add_to(sum);
  for (const Exchange& exchange : exchanges_) sum += exchange.mixer->counters();
  for (const MeanOf& mean : means_) sum += mean.mean->counters();
  return sum;
}

std::size_t StagedWorker::memory_bytes() const {
  std::size_t bytes = 0;
  for (const Exchange& exchange : exchanges_) bytes += exchange.mixer->memory_bytes();
  for (const std::vector<std::byte>& memory : memory_) bytes += memory.size();
  for (const MeanOf& mean : means_) bytes += mean.mean->memory_bytes();
  if (algorithm_->changes_gradient()) {
    for (const VectorView& view : vectors_[kGradient]) bytes += view.bytes();
  } else if (algorithm_->averages_gradient()) {
    for (const VectorView& bucket : gradient_buckets()) bytes += bucket.bytes();
  }
  return bytes;
}

}  // namespace gossip::engine
