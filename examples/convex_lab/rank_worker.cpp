// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/rank_worker.h"

#include <algorithm>
#include <thread>
#include <utility>

#include <libgossip/base/deadline.h>
#include <libgossip/engine/pairs/pair_worker.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/engine/rounds/staged_worker.h>
#include <libgossip/kernels/vector.h>

#include "convex_lab/gradient_source.h"

namespace gossip::examples {
namespace {

using Numbers = RankNumbers;

/// What both kinds share.
class RankWorkerBase : public RankWorker {
 public:
  RankWorkerBase(const ConvexProblem& problem, const LabOptions& options, Rank rank,
                 GradientKind kind)
      : problem_(problem),
        options_(options),
        rank_(rank),
        kind_(kind),
        source_(make_gradient_source(kind, problem, rank, options.seed)),
        x_(problem.dimension(), 0.0),
        gradient_(problem.dimension(), 0.0) {}
  void step() override {
    worker_->prepare();
    if (worker_->needs_gradient()) evaluate();
    worker_->finish();
  }

  void leave() override { worker_->leave(); }

  [[nodiscard]] Numbers numbers() override {
    Numbers result{source_->count(), activations(), bytes()};
    result.resize(kModelBegin + problem_.dimension());
    const auto solution = std::span(result).subspan(kModelBegin);
    if (kind_ == GradientKind::kDual) {
      problem_.dual_gradient(rank_, model(), solution);
    } else {
      std::ranges::copy(model(), solution.begin());
    }
    return result;
  }

 protected:
  [[nodiscard]] virtual std::span<double> model() = 0;

  /// Activations of edges that count as this rank's.
  [[nodiscard]] virtual double activations() = 0;

  /// Of payload, likewise.
  [[nodiscard]] virtual double bytes() {
    return static_cast<double>(worker_->counters().bytes_sent);
  }

  /// Takes as long as --gradient-seconds says, and a slow rank its multiple.
  void evaluate() {
    const auto begin = Clock::now();
    source_->write(model(), gradient_);
    const double slowness = options_.slowness[static_cast<std::size_t>(rank_)];
    if (options_.gradient_seconds == 0.0 && slowness == 1.0) return;
    const std::chrono::duration<double> taken = Clock::now() - begin;
    const std::chrono::duration<double> wanted(slowness *
                                               std::max(taken.count(), options_.gradient_seconds));
    std::this_thread::sleep_until(begin + wanted);
  }

  const ConvexProblem& problem_;
  const LabOptions& options_;
  Rank rank_;
  GradientKind kind_;
  std::unique_ptr<GradientSource> source_;
  Numbers x_;
  Numbers gradient_;
  std::unique_ptr<engine::PlainPort> port_;
  std::unique_ptr<engine::Worker> worker_;
};

class StageRankWorker final : public RankWorkerBase {
 public:
  StageRankWorker(const StagePlan& plan, const ConvexProblem& problem, const LabOptions& options,
                  transport::Group& group)
      : RankWorkerBase(problem, options, group.rank(), plan.gradient),
        schedule_(plan.matrices.pull) {
    const auto descend = [this, lr = plan.lr] {
      kernels::axpby(-lr, std::span<const double>(gradient_), 1.0, std::span(x_));
    };
    port_ =
        std::make_unique<engine::PlainPort>(std::vector<VectorView>{std::span<double>(x_)},
                                            std::vector<VectorView>{std::span<double>(gradient_)},
                                            descend, [lr = plan.lr] { return lr; });
    worker_ = std::make_unique<engine::StagedWorker>(group, plan.make(group.rank()), plan.matrices,
                                                     *port_);
  }

 private:
  [[nodiscard]] std::span<double> model() override { return x_; }

  /// Half of the messages that it sent.
  [[nodiscard]] double activations() override {
    topology::Neighborhood neighborhood;
    for (const std::int64_t rounds = worker_->counters().gossip_rounds; round_ < rounds; ++round_) {
      schedule_.neighborhood(round_, rank_, neighborhood);
      messages_ += neighborhood.out.size();
    }
    return 0.5 * static_cast<double>(messages_);
  }

  topology::Schedule schedule_;
  std::int64_t round_ = 0;
  std::size_t messages_ = 0;  // of the rounds before
};

class PairRankWorker final : public RankWorkerBase {
 public:
  PairRankWorker(const PairPlan& plan, const ConvexProblem& problem, const LabOptions& options,
                 transport::Group& group)
      : RankWorkerBase(problem, options, group.rank(), GradientKind::kFull) {
    double rate = 0.0;
    for (const topology::EdgeIntensity& edge : plan.edges.front()) rate += edge.intensity;
    port_ = std::make_unique<engine::PlainPort>(std::vector<VectorView>{std::span<double>(x_)},
                                                std::vector<VectorView>{},
                                                [this, plan] { update(plan); });
    auto worker = std::make_unique<engine::PairWorker>(
        group, plan.method, options.graphs.front(), *port_,
        engine::PairWorkerOptions{
            .exchanges_per_step = rate / group.size(), .is_paced = true, .seed = options.seed});
    pairs_ = worker.get();
    std::ranges::copy(x_, worker->model_memory().front().as<double>().begin());
    worker_ = std::move(worker);
  }

 private:
  [[nodiscard]] std::span<double> model() override {
    return worker_->model_memory().front().as<double>();
  }
  [[nodiscard]] double activations() override {
    return static_cast<double>(worker_->counters().gossip_rounds);
  }

  /// A vector each way, also where both ranks see the same memory and nothing is sent.
  [[nodiscard]] double bytes() override {
    return activations() * 2.0 * static_cast<double>(x_.size() * sizeof(double));
  }

  void update(const PairPlan& plan) {
    if (plan.method->is_relative()) {
      kernels::axpby(plan.gradient_factor, std::span<const double>(gradient_), 1.0, model());
    } else {
      plan.method->local_step(pairs_->local_state(0), std::span<double>(gradient_));
    }
  }

  engine::PairWorker* pairs_ = nullptr;  // the worker
};

}  // namespace

std::unique_ptr<RankWorker> make_rank_worker(const StagePlan& plan, const ConvexProblem& problem,
                                             const LabOptions& options, transport::Group& group) {
  return std::make_unique<StageRankWorker>(plan, problem, options, group);
}

std::unique_ptr<RankWorker> make_rank_worker(const PairPlan& plan, const ConvexProblem& problem,
                                             const LabOptions& options, transport::Group& group) {
  return std::make_unique<PairRankWorker>(plan, problem, options, group);
}

}  // namespace gossip::examples
