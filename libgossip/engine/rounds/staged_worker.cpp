// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/engine/message_layout.h>
#include <libgossip/engine/neighbors.h>
#include <libgossip/engine/rounds/matrix_checks.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {
namespace {

using algorithm::Action;
using algorithm::kFirstState;
using algorithm::kGradient;
using algorithm::kModel;
using algorithm::MixingNeeds;
using algorithm::Stage;

/// Elements that stay in the second-level cache while several combinations pass over them.
constexpr std::size_t kBlock = 8192;

constexpr std::size_t kAlignment = 64;

bool has(std::span<const Stage> stages, Action action) {
  return std::ranges::find(stages, action, &Stage::action) != stages.end();
}

/// Whether what follows a mean would be wrong without it.
bool ends_with_mean(std::span<const Stage> stages) {
  const auto mean = std::ranges::find(stages, Action::kMean, &Stage::action);
  return mean != stages.end() && has({mean, stages.end()}, Action::kCombine);
}

VectorView part_of(const VectorView& vector, std::size_t begin, std::size_t end) {
  return {vector.dtype, static_cast<std::byte*>(vector.data) + begin * size_of(vector.dtype),
          end - begin};
}

/// Where a fragment of `size` elements begins, and where it ends.
std::pair<std::size_t, std::size_t> range_of(const algorithm::Fragment& fragment,
                                             std::size_t size) {
  const auto index = static_cast<std::size_t>(fragment.index);
  const auto count = static_cast<std::size_t>(fragment.count);
  return {size * index / count, size * (index + 1) / count};
}

}  // namespace

StagedWorker::StagedWorker(transport::Group& group,
                           std::shared_ptr<const algorithm::Algorithm> algorithm,
                           const Matrices& matrices, Vectors vectors, Caller caller,
                           const StagedWorkerOptions& options)
    : algorithm_(std::move(algorithm)),
      caller_(std::move(caller)),
      ranks_(group.size()),
      uses_rate_(algorithm_->uses_learning_rate()) {
  vectors_ = {vectors.model, vectors.gradient};
  make_state(vectors.model);
  for (int sent = 0; sent < algorithm_->num_sent(); ++sent) vectors_.emplace_back();
  if (algorithm_->mixing_needs() != MixingNeeds::kNone) {
    transport::check_together(group, [&] {
      check_size(matrices.pull.name(), matrices.pull.size(), group);
      if (options.checks_matrices) check_matrices(matrices, *algorithm_);
    });
  }
  const bool is_among_all = std::ranges::any_of(
      algorithm_->kinds(), [](const auto& stages) { return has(stages, Action::kMean); });
  std::optional<std::vector<Rank>> neighbors;
  if (!is_among_all && algorithm_->mixing_needs() != MixingNeeds::kNone) {
    neighbors = union_graph(matrices.pull).out_neighbors(group.rank());
  }
  membership_.emplace(
      group, std::move(neighbors),
      MembershipOptions{.timeout = options.timeout, .on_lost_neighbor = options.on_lost_neighbor});
  for (const std::vector<Stage>& stages : algorithm_->kinds()) {
    for (const Stage& stage : stages) {
      if (stage.action == Action::kMix) make_exchange(group, stage, matrices, options);
      if (stage.action == Action::kMean) make_mean(group, stage, options, vectors.gradient_memory);
    }
  }
  if (!exchanges_.empty() && means_.empty()) warn_if_apart(group.rank(), matrices.pull);
}

void StagedWorker::make_state(const std::vector<VectorView>& shapes) {
  const MessageLayout layout(shapes);
  for (std::size_t i = 0; i < algorithm_->state().size(); ++i) {
    std::vector<std::byte>& memory = memory_.emplace_back(layout.bytes() + kAlignment);
    const auto misalignment = reinterpret_cast<std::uintptr_t>(memory.data()) % kAlignment;
    const auto aligned = std::span(memory).subspan((kAlignment - misalignment) % kAlignment);
    std::vector<VectorView>& views = vectors_.emplace_back();
    for (std::size_t v = 0; v < shapes.size(); ++v) views.push_back(layout.view(aligned, v));
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

StagedWorker::Exchange* StagedWorker::exchange_of(const Stage& stage) {
  const auto found = std::ranges::find_if(exchanges_, [&](const Exchange& exchange) {
    return exchange.pulled == stage.vectors && exchange.pushed == stage.pushed &&
           exchange.sent == stage.sent && exchange.corrected == stage.corrected &&
           exchange.is_compressed == stage.is_compressed;
  });
  return found == exchanges_.end() ? nullptr : &*found;
}

StagedWorker::MeanOf* StagedWorker::mean_of(const Stage& stage) {
  const auto found = std::ranges::find_if(means_, [&](const MeanOf& mean) {
    return mean.vectors == stage.vectors && mean.fragment == stage.fragment;
  });
  return found == means_.end() ? nullptr : &*found;
}

/// What different steps send together shares a channel.
void StagedWorker::make_exchange(transport::Group& group, const Stage& stage,
                                 const Matrices& matrices, const StagedWorkerOptions& options) {
  if (exchange_of(stage) != nullptr) return;
  Patience patience(options.timeout);
  patience.while_waiting = [this] { membership_->check_all_train(needed_step_); };
  Mixer::Vectors vectors{.pulled = views_of(stage.vectors), .pushed = views_of(stage.pushed)};
  if (stage.is_compressed) {
    GOSSIP_ASSERT(options.codec != nullptr, "'{}' compresses, but there is no codec",
                  algorithm_->name());
    vectors.codec = options.codec;
  }
  if (stage.sent != algorithm::kNoVector) {
    vectors.corrections = views_of({stage.corrected});
    vectors.are_corrections_pushed = stage.is_sent_pushed;
  }
  exchanges_.push_back(
      {stage.vectors, stage.pushed, stage.sent, stage.corrected, stage.is_compressed,
       std::make_unique<Mixer>(group, matrices, std::move(vectors), patience, &*membership_)});
}

void StagedWorker::make_mean(transport::Group& group, const Stage& stage,
                             const StagedWorkerOptions& options,
                             const std::shared_ptr<const void>& memory) {
  if (mean_of(stage) != nullptr) return;
  Patience patience(options.timeout);
  // Whoever waits for it.
  patience.while_waiting = [this] { membership_->check_all_train(position_.step); };
  std::vector<VectorView> views = views_of(stage.vectors);
  for (VectorView& view : views) {
    const auto [begin, end] = range_of(stage.fragment, view.size);
    view = part_of(view, begin, end);
  }
  std::vector<VectorView> buckets = cut_into_buckets(views, options.bucket_bytes);
  std::reverse(buckets.begin(), buckets.end());
  const bool is_gradient = stage.vectors == std::vector<int>{kGradient};
  auto mean =
      std::make_unique<BucketedMean>(group, buckets, patience, is_gradient ? memory : nullptr);
  means_.push_back({stage.vectors, stage.fragment, std::move(buckets), std::move(mean)});
}

BucketedMean* StagedWorker::gradient_mean() {
  MeanOf* mean = mean_of({Action::kMean, {kGradient}});
  return mean != nullptr ? mean->mean.get() : nullptr;
}

const std::vector<VectorView>& StagedWorker::gradient_buckets() const {
  static const std::vector<VectorView> kNone;
  const auto mean = std::ranges::find(means_, std::vector<int>{kGradient}, &MeanOf::vectors);
  return mean != means_.end() ? mean->buckets : kNone;
}

bool StagedWorker::needs_gradient() const {
  return has(algorithm_->stages(position_.step), Action::kEvaluate);
}

/// Without a gradient the whole step is finish().
StagedWorker::Stages StagedWorker::before_gradient() const {
  if (!needs_gradient()) return {};
  const Stages stages = algorithm_->stages(position_.step);
  return {stages.begin(), std::ranges::find(stages, Action::kEvaluate, &Stage::action)};
}

void StagedWorker::prepare(bool communicate) {
  needed_step_ = position_.step - 1;  // others prepare at the end of the step before
  run(before_gradient(), communicate);
}

void StagedWorker::set_position(const Position& position) {
  settle();
  position_ = position;
  membership_->set_steps(position.step);
  has_communicated_ = has(before_gradient(), Action::kMix);  // which the state has behind it
}

void StagedWorker::check_finish(bool communicate) const {
  const Stages stages = algorithm_->stages(position_.step);
  GOSSIP_CHECK(communicate || ranks_ == 1 || !ends_with_mean(stages),
               "'{}' ends a round with step {}, for which it needs the other ranks: accumulate "
               "gradients under no_sync(), but call this step() outside of it.",
               algorithm_->name(), position_.step);
  if (uses_rate_ && has(stages, Action::kLocalUpdate)) static_cast<void>(learning_rate());
}

void StagedWorker::finish(bool communicate) {
  check_finish(communicate);
  needed_step_ = position_.step;
  is_gradient_loaded_ = is_gradient_changed_ = false;
  const Stages stages = algorithm_->stages(position_.step);
  settle();
  open_messages(stages, communicate);
  if (uses_rate_ && has(stages, Action::kLocalUpdate)) {
    position_.rates += learning_rate();
    ++position_.rated;
  }
  if (!communicate && has(stages, Action::kCompress)) {
    // What others do not hear of must not be counted as sent.
    run(*std::ranges::find(stages, Action::kLocalUpdate, &Stage::action), communicate);
  } else {
    run(stages.subspan(needs_gradient() ? before_gradient().size() + 1 : 0), communicate);
  }
  // All mixings of a step take the same round. Directed methods count every step, because who is
  // active goes by the step.
  const bool is_directed = algorithm_->mixing_needs() == MixingNeeds::kDirected;
  if (has(stages, Action::kMix) && (has_communicated_ || is_directed)) ++position_.round;
  if (has_communicated_) {
    position_.rates = 0.0;
    position_.rated = 0;
  }
  has_communicated_ = false;
  membership_->set_steps(++position_.step);
}

/// Combinations that follow each other go over the vectors together.
void StagedWorker::run(Stages stages, bool communicate) {
  while (!stages.empty()) {
    const auto other = std::ranges::find_if(
        stages, [](const Stage& stage) { return stage.action != Action::kCombine; });
    const auto count = static_cast<std::size_t>(other - stages.begin());
    if (count > 0) {
      combine(stages.first(count));
      stages = stages.subspan(count);
    } else {
      run(stages.front(), communicate);
      stages = stages.subspan(1);
    }
  }
}

void StagedWorker::run(const Stage& stage, bool communicate) {
  if (stage.action == Action::kLocalUpdate) {
    update(stage);
  } else if (stage.action == Action::kCompress) {
    exchange_of(algorithm::mix_compressed(stage.vectors.front()))->mixer->compress();
  } else if (stage.action == Action::kMix) {
    mix(stage, communicate);
  } else if (stage.action == Action::kMean && communicate) {
    take_mean(stage);
    has_communicated_ = true;
  }
}

/// What a step leaves to be done beside the caller's next gradient.
void StagedWorker::settle() {
  for (const Exchange& exchange : exchanges_) exchange.mixer->settle();
}

/// Vectors that are only sent are written straight into the message.
void StagedWorker::open_messages(Stages stages, bool communicate) {
  for (const Stage& stage : stages) {
    if (stage.sent == algorithm::kNoVector) continue;
    Mixer& mixer = *exchange_of(stage)->mixer;
    vectors_[static_cast<std::size_t>(stage.sent)] =
        communicate ? mixer.outgoing(position_.round) : mixer.outgoing_kept();
  }
}

void StagedWorker::mix(const Stage& stage, bool communicate) {
  if (!communicate) return;
  const double weight = exchange_of(stage)->mixer->mix(position_.round, position_.weight);
  const bool is_model_pushed = std::ranges::find(stage.pushed, kModel) != stage.pushed.end();
  if (is_model_pushed) position_.weight = weight;
  has_communicated_ = true;
}

void StagedWorker::update(const Stage& stage) {
  const int along = stage.terms.empty() ? kGradient : stage.terms.front().vector;
  if (along == kGradient && !is_gradient_changed_) {
    caller_.local_update();
    return;
  }
  const std::vector<VectorView>& there = vectors_[static_cast<std::size_t>(along)];
  if (caller_.local_update_along) {
    caller_.local_update_along(there);
    return;
  }
  for (std::size_t part = 0; part < there.size() && along != kGradient; ++part) {
    if (there[part].size > 0) {
      std::memcpy(vectors_[kGradient][part].data, there[part].data, there[part].bytes());
    }
  }
  caller_.local_update();
}

double StagedWorker::learning_rate() const {
  const double rate = caller_.learning_rate();
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

void StagedWorker::take_mean(const Stage& stage) {
  const bool is_gradient = stage.vectors.front() == kGradient;
  is_gradient&& caller_.average_gradient ? caller_.average_gradient()
                                         : mean_of(stage)->mean->finish();
}

void StagedWorker::load_gradient(Stages stages) {
  for (const Stage& stage : stages) {
    const bool reads =
        std::ranges::find(stage.terms, kGradient, &algorithm::Term::vector) != stage.terms.end();
    if (reads && !is_gradient_loaded_) {
      if (caller_.load_gradient) {
        caller_.load_gradient();
        for (const VectorView& view : vectors_[kGradient]) {
          counters_.bytes_touched += 2 * view.bytes();
        }
      }
      if (caller_.find_gradient) gradient_ = &caller_.find_gradient();
    }
    const bool writes = stage.vectors.front() == kGradient;
    is_gradient_loaded_ |= reads || writes;
    is_gradient_changed_ |= writes;
  }
}

/// A fragment's as the whole vector's: a bound.
void StagedWorker::count_passes(Stages stages) {
  std::size_t bytes = 0;
  for (const VectorView& view : vectors_[kModel]) bytes += view.bytes();
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const Stages before = stages.first(s);
    const auto is_written = [&](int vector) {
      return std::ranges::any_of(
          before, [&](const Stage& stage) { return stage.vectors.front() == vector; });
    };
    const auto is_read = [&](int vector) {
      return std::ranges::any_of(before, [&](const Stage& stage) {
        return std::ranges::find(stage.terms, vector, &algorithm::Term::vector) !=
               stage.terms.end();
      });
    };
    std::size_t least = is_written(stages[s].vectors.front()) ? 0 : 1;
    for (const algorithm::Term& term : stages[s].terms) {
      if (!is_written(term.vector) && !is_read(term.vector)) ++least;
    }
    counters_.bytes_touched += (1 + stages[s].terms.size()) * bytes;
    counters_.bytes_touched_least += least * bytes;
  }
}

void StagedWorker::combine(Stages stages) {
  load_gradient(stages);
  count_passes(stages);
  if (caller_.find_gradient && is_gradient_loaded_) {
    for (const VectorPiece& piece : *gradient_) {
      piece_ = &piece;
      combine(stages, piece.vector, piece.offset, piece.offset + piece.values.size);
    }
    piece_ = nullptr;
    return;
  }
  const std::vector<VectorView>& model = vectors_[kModel];
  for (std::size_t part = 0; part < model.size(); ++part) {
    combine(stages, part, 0, model[part].size);
  }
}

/// All stages block by block, so that what one writes the next one finds in the cache.
void StagedWorker::combine(Stages stages, std::size_t part, std::size_t begin, std::size_t end) {
  const std::size_t size = vectors_[kModel][part].size;
  for (; begin < end; begin += kBlock) {
    for (const Stage& stage : stages) {
      const auto [first, last] = range_of(stage.fragment, size);
      const std::size_t from = std::max(begin, first);
      const std::size_t to = std::min({begin + kBlock, end, last});
      if (from < to) combine(stage, part, from, to);
    }
  }
}

void StagedWorker::combine(const Stage& stage, std::size_t part, std::size_t begin,
                           std::size_t end) {
  const auto view = [&](int vector) { return vectors_[static_cast<std::size_t>(vector)][part]; };
  visit(view(stage.vectors.front()), [&]<class T>(std::span<T> out) {
    auto& terms = std::get<std::vector<kernels::Source<T>>>(terms_);
    terms.clear();
    for (const algorithm::Term& term : stage.terms) {
      const bool is_in_piece = term.vector == kGradient && piece_ != nullptr;
      const T* data = is_in_piece
                          ? piece_->values.template as<T>().data() + (begin - piece_->offset)
                          : view(term.vector).template as<T>().data() + begin;
      terms.push_back({data, factor_of(term)});
    }
    kernels::combine(out.subspan(begin, end - begin), std::span<const kernels::Source<T>>(terms));
  });
}

double StagedWorker::factor_of(const algorithm::Term& term) const {
  switch (term.scale) {
    case algorithm::Scale::kRate:
      return term.factor * mean_rate();
    case algorithm::Scale::kPerRate:
      return term.factor / mean_rate();
    case algorithm::Scale::kWeight:
      return term.factor * position_.weight;
    case algorithm::Scale::kPerWeight:
      return term.factor / position_.weight;
    case algorithm::Scale::kOne:
      break;
  }
  return term.factor;
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
