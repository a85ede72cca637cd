// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <libgossip/engine/neighbors.h>
#include <libgossip/engine/staged_worker.h>
#include <libgossip/topology/checks.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {

using algorithm::Action;
using algorithm::Stage;

StagedWorker::StagedWorker(transport::Group& group,
                           std::shared_ptr<const algorithm::Algorithm> algorithm,
                           topology::Schedule schedule, Vectors vectors, Caller caller,
                           const StagedWorkerOptions& options)
    : algorithm_(std::move(algorithm)), caller_(std::move(caller)), ranks_(group.size()) {
  Patience patience(options.timeout);
  patience.while_waiting = [this] { presence_->check(needed_step_); };
  if (algorithm_->mixing_needs() == algorithm::MixingNeeds::kDoublyStochastic) {
    transport::check_together(group, [&] { topology::validate_doubly_stochastic(schedule); });
    warn_if_apart(group.rank(), schedule);
    if (schedule.size() == group.size()) presence_.emplace(group, union_graph(schedule));
    model_mixer_.emplace(group, std::move(schedule), std::move(vectors.model), patience,
                         options.on_lost_neighbor);
  }
  if (algorithm_->averages_gradient()) {
    gradient_buckets_ = cut_into_buckets(vectors.gradient, options.bucket_bytes);
    std::reverse(gradient_buckets_.begin(), gradient_buckets_.end());
    patience.while_waiting = [this] { presence_->check(position_.step); };  // whoever waits for it
    gradient_mean_.emplace(group, gradient_buckets_, patience);
  }
  if (!presence_) presence_.emplace(group);
}

void StagedWorker::prepare(bool communicate) {
  needed_step_ = position_.step - 1;  // others prepare at the end of the step before
  for (const Stage& stage : algorithm_->stages(position_.step)) {
    if (stage.action == Action::kEvaluate) return;
    run(stage, communicate);
  }
}

void StagedWorker::finish(bool communicate) {
  needed_step_ = position_.step;
  bool is_after_gradient = false;
  for (const Stage& stage : algorithm_->stages(position_.step)) {
    if (is_after_gradient) run(stage, communicate);
    if (stage.action == Action::kEvaluate) is_after_gradient = true;
  }
  ++position_.step;
}

void StagedWorker::run(const Stage& stage, bool communicate) {
  if (stage.action == Action::kLocalUpdate) {
    caller_.local_update();
  } else if (stage.action == Action::kPull && communicate) {
    model_mixer_->pull(position_.round++);
  } else if (stage.action == Action::kMean && communicate) {
    caller_.average_gradient ? caller_.average_gradient() : gradient_mean_->finish();
  }
}

Counters StagedWorker::counters() const {
  Counters sum;
  if (model_mixer_) sum += model_mixer_->counters();
  if (gradient_mean_) sum += gradient_mean_->counters();
  return sum;
}

std::size_t StagedWorker::memory_bytes() const {
  std::size_t bytes = model_mixer_ ? model_mixer_->memory_bytes() : 0;
  for (const VectorView& bucket : gradient_buckets_) bytes += bucket.bytes();
  return bytes;
}

}  // namespace gossip::engine
