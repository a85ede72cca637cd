// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/engine/neighbors.h>
#include <libgossip/engine/staged_worker.h>
#include <libgossip/topology/checks.h>
#include <libgossip/topology/spectral.h>
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

/// Steps of an algorithm that are examined for what they send.
constexpr std::int64_t kStepsExamined = 64;

constexpr std::size_t kAlignment = 64;

std::size_t padded(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

void check_schedule(const topology::Schedule& schedule, const algorithm::Algorithm& algorithm) {
  topology::validate_doubly_stochastic(schedule);
  if (algorithm.mixing_needs() != MixingNeeds::kSymmetric) return;
  constexpr double kTolerance = 1e-9;
  constexpr double kSmallestEigenvalue = -1.0 / 3;
  GOSSIP_CHECK(schedule.period() == 1,
               "The topology '{}' changes with the round, but '{}' needs the same symmetric matrix "
               "in all rounds: ring, torus, complete or hypercube would do.",
               schedule.name(), algorithm.name());
  const topology::MixingMatrix matrix = schedule.matrix(0);
  const std::vector<std::vector<double>> rows = matrix.rows();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      GOSSIP_CHECK(std::abs(rows[i][j] - rows[j][i]) <= kTolerance,
                   "The topology '{}' is not symmetric: rank {} gives rank {} the weight {}, but "
                   "gets {}. '{}' needs a symmetric matrix: ring, torus, complete or hypercube "
                   "would do.",
                   schedule.name(), i, j, rows[i][j], rows[j][i], algorithm.name());
    }
  }
  const double smallest = *topology::spectral_constants(matrix).lambda_min;
  GOSSIP_CHECK(
      smallest > kSmallestEigenvalue + kTolerance,
      "The topology '{}' has the eigenvalue {:.4f}, but '{}' needs all above -1/3: the lazy "
      "matrix (I + W) / 2 would do, for example 'lazy:ring'.",
      schedule.name(), smallest, algorithm.name());
}

}  // namespace

StagedWorker::StagedWorker(transport::Group& group,
                           std::shared_ptr<const algorithm::Algorithm> algorithm,
                           topology::Schedule schedule, Vectors vectors, Caller caller,
                           const StagedWorkerOptions& options)
    : algorithm_(std::move(algorithm)), caller_(std::move(caller)), ranks_(group.size()) {
  Patience patience(options.timeout);
  patience.while_waiting = [this] { presence_->check(needed_step_); };
  vectors_ = {vectors.model, vectors.gradient};
  make_state(vectors.model);
  if (algorithm_->mixing_needs() != MixingNeeds::kNone) {
    transport::check_together(group, [&] { check_schedule(schedule, *algorithm_); });
    warn_if_apart(group.rank(), schedule);
    if (schedule.size() == group.size()) presence_.emplace(group, union_graph(schedule));
    make_exchanges(group, schedule, patience, options.on_lost_neighbor);
  }
  if (algorithm_->averages_gradient()) {
    gradient_buckets_ = cut_into_buckets(vectors.gradient, options.bucket_bytes);
    std::reverse(gradient_buckets_.begin(), gradient_buckets_.end());
    patience.while_waiting = [this] { presence_->check(position_.step); };  // whoever waits for it
    gradient_mean_.emplace(group, gradient_buckets_, patience);
  }
  if (!presence_) presence_.emplace(group);
}

void StagedWorker::make_state(const std::vector<VectorView>& shapes) {
  for (std::size_t i = 0; i < algorithm_->state().size(); ++i) {
    std::size_t bytes = kAlignment;
    for (const VectorView& shape : shapes) bytes += padded(shape.bytes());
    std::vector<std::byte>& memory = memory_.emplace_back(bytes);
    const auto misalignment = reinterpret_cast<std::uintptr_t>(memory.data()) % kAlignment;
    std::byte* place = memory.data() + (kAlignment - misalignment) % kAlignment;
    std::vector<VectorView>& views = vectors_.emplace_back();
    for (const VectorView& shape : shapes) {
      views.emplace_back(shape.dtype, place, shape.size);
      place += padded(shape.bytes());
    }
  }
}

/// What different steps send together shares a channel.
void StagedWorker::make_exchanges(transport::Group& group, const topology::Schedule& schedule,
                                  const Patience& patience, OnLostNeighbor on_lost_neighbor) {
  for (std::int64_t step = 0; step < kStepsExamined; ++step) {
    for (const Stage& stage : algorithm_->stages(step)) {
      if (stage.action != Action::kPull) continue;
      if (std::ranges::find(exchanges_, stage.vectors, &Exchange::vectors) != exchanges_.end()) {
        continue;
      }
      std::vector<VectorView> together;
      for (const int vector : stage.vectors) {
        const std::vector<VectorView>& views = vectors_[static_cast<std::size_t>(vector)];
        together.insert(together.end(), views.begin(), views.end());
      }
      exchanges_.push_back({stage.vectors, std::make_unique<Mixer>(group, schedule, together,
                                                                   patience, on_lost_neighbor)});
    }
  }
}

void StagedWorker::prepare(bool communicate) {
  needed_step_ = position_.step - 1;  // others prepare at the end of the step before
  const Stages stages = algorithm_->stages(position_.step);
  const auto evaluation = std::ranges::find(stages, Action::kEvaluate, &Stage::action);
  run({stages.begin(), evaluation}, communicate);
}

void StagedWorker::finish(bool communicate) {
  needed_step_ = position_.step;
  is_gradient_loaded_ = is_gradient_changed_ = false;
  const Stages stages = algorithm_->stages(position_.step);
  const auto evaluation = std::ranges::find(stages, Action::kEvaluate, &Stage::action);
  run({evaluation + 1, stages.end()}, communicate);
  ++position_.step;
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
    if (is_gradient_changed_ && caller_.store_gradient) caller_.store_gradient();
    caller_.local_update();
  } else if (stage.action == Action::kPull && communicate) {
    std::ranges::find(exchanges_, stage.vectors, &Exchange::vectors)
        ->mixer->pull(position_.round++);
  } else if (stage.action == Action::kMean && communicate) {
    caller_.average_gradient ? caller_.average_gradient() : gradient_mean_->finish();
  }
}

void StagedWorker::combine(Stages stages) {
  for (const Stage& stage : stages) {
    const bool reads =
        std::ranges::find(stage.terms, kGradient, &algorithm::Term::vector) != stage.terms.end();
    if (reads && !is_gradient_loaded_ && caller_.load_gradient) caller_.load_gradient();
    const bool writes = stage.vectors.front() == kGradient;
    is_gradient_loaded_ |= reads || writes;
    is_gradient_changed_ |= writes;
  }
  const std::vector<VectorView>& model = vectors_[kModel];
  for (std::size_t part = 0; part < model.size(); ++part) {
    for (std::size_t begin = 0; begin < model[part].size; begin += kBlock) {
      const std::size_t size = std::min(kBlock, model[part].size - begin);
      for (const Stage& stage : stages) combine(stage, part, begin, size);
    }
  }
}

void StagedWorker::combine(const Stage& stage, std::size_t part, std::size_t begin,
                           std::size_t size) {
  const auto view = [&](int vector) { return vectors_[static_cast<std::size_t>(vector)][part]; };
  visit(view(stage.vectors.front()), [&]<class T>(std::span<T> out) {
    auto& terms = std::get<std::vector<kernels::Source<T>>>(terms_);
    terms.clear();
    for (const algorithm::Term& term : stage.terms) {
      terms.push_back({view(term.vector).template as<T>().data() + begin, term.factor});
    }
    kernels::combine(out.subspan(begin, size), std::span<const kernels::Source<T>>(terms));
  });
}

std::vector<StateVector> StagedWorker::state() {
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
  Counters sum;
  for (const Exchange& exchange : exchanges_) sum += exchange.mixer->counters();
  if (gradient_mean_) sum += gradient_mean_->counters();
  return sum;
}

std::size_t StagedWorker::memory_bytes() const {
  std::size_t bytes = 0;
  for (const Exchange& exchange : exchanges_) bytes += exchange.mixer->memory_bytes();
  for (const std::vector<std::byte>& memory : memory_) bytes += memory.size();
  if (algorithm_->combines_gradient()) {
    for (const VectorView& view : vectors_[kGradient]) bytes += view.bytes();
  }
  for (const VectorView& bucket : gradient_buckets_) bytes += bucket.bytes();
  return bytes;
}

}  // namespace gossip::engine
