// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/run_on_ranks.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/transport/agreement.h>

#include "convex_lab/board.h"
#include "convex_lab/methods.h"
#include "convex_lab/rank_worker.h"
#include "convex_lab/run.h"

namespace gossip::examples {
namespace {

using Numbers = RankNumbers;

/// What rank 0 makes of the numbers of all ranks.
class Watch {
 public:
  Watch(const ConvexProblem& problem, const LabOptions& options, nlohmann::ordered_json constants,
        LabRecord& record)
      : problem_(problem),
        constants_(std::move(constants)),
        rate_(constants_.value("rate", 0.0)),
        end_(options),
        record_(record) {
    const Numbers zero(problem.dimension(), 0.0);
    first_ = kernels::squared_distance(std::span<const double>(zero), problem.optimum());
    if (first_ == 0.0) first_ = 1.0;
  }

  /// Records the run; whether it is at its end.
  bool note(const std::vector<Numbers>& all) {
    LabCounts counts;
    std::vector<std::span<const double>> models;
    for (const Numbers& numbers : all) {
      counts.gradients += numbers[kGradients];
      counts.communications += numbers[kActivations];
      counts.bytes += numbers[kBytes];
      models.push_back(std::span(numbers).subspan(kModelBegin));
    }
    const double workers = problem_.num_workers();
    counts.model_time = rate_ > 0.0 ? counts.communications / rate_ : counts.gradients / workers;
    counts_ = counts;
    const LabError error = error_of(models, problem_.optimum(), first_);
    record_.note(counts, error);
    // What it was at its end, not what it becomes while the ranks stop.
    if (!status_) status_ = end_.status(counts, error.error);
    return status_.has_value();
  }

  void end() { record_.end(status_.value_or("stopped"), status_ == "diverged" ? remark() : ""); }

 private:
  /// Events count the time, so their rate shows where gradients do.
  [[nodiscard]] std::string remark() const {
    const int workers = problem_.num_workers();
    LabCounts counts = counts_;
    counts.model_time = counts.gradients / workers;
    return remark_on_divergence(constants_, counts, workers);
  }

  const ConvexProblem& problem_;
  nlohmann::ordered_json constants_;
  double rate_;  // of events in all, of methods whose time these count; or 0
  LabCounts counts_;
  double first_ = 0.0;
  LabEnd end_;
  LabRecord& record_;
  std::optional<std::string> status_;
};

/// All ranks look together, in steps that are further and further apart.
void run_together(RankWorker& worker, transport::Group& group, Watch* watch) {
  double is_at_end = 0.0;
  for (std::int64_t step = 0, next = 0; is_at_end == 0.0; ++step) {
    if (step == next) {
      const auto all = group.all_gather(worker.numbers());
      is_at_end = watch != nullptr && watch->note(all) ? 1.0 : 0.0;
      is_at_end = transport::mean_of(group, is_at_end);
      next = step + 1 + step / 100;
    }
    if (is_at_end == 0.0) worker.step();
  }
  worker.leave();
}

/// Each rank at its own pace.
void run_apart(RankWorker& worker, transport::Group& group, Watch* watch) {
  LabBoard board(group, worker.numbers().size());
  bool is_at_end = false;
  while (watch == nullptr ? !board.is_stopped() : !is_at_end || !board.stop()) {
    worker.step();
    if (is_at_end || !board.is_due()) continue;
    if (watch == nullptr) {
      board.show(worker.numbers());
      continue;
    }
    std::vector<Numbers> all = board.look();
    all.push_back(worker.numbers());
    is_at_end = watch->note(all);
  }
  worker.leave();
  const auto all = group.all_gather(worker.numbers());
  if (watch != nullptr) static_cast<void>(watch->note(all));
}

}  // namespace

void run_on_ranks(const std::string& method, const ConvexProblem& problem,
                  const LabOptions& options, transport::Group& group, LabRecord* record) {
  const LabKind kind = kind_of(method);
  std::optional<StagePlan> stages;
  std::optional<PairPlan> pairs;
  transport::check_together(group, [&] {
    GOSSIP_CHECK(kind == LabKind::kPairs || kind == LabKind::kStages,
                 "'{}' runs in virtual time only: start one process, with --workers {}.", method,
                 group.size());
    if (kind == LabKind::kStages) {
      stages.emplace(make_stage_plan(method, problem, options));
      return;
    }
    GOSSIP_CHECK(
        options.graphs.size() == 1,
        "On ranks '{}' runs on one topology, not on {} that take turns: give one, or start "
        "one process, with --workers {}, for virtual time.",
        method, options.graphs.size(), group.size());
    pairs.emplace(make_pair_plan(method, problem, options));
  });
  const auto worker = stages ? make_rank_worker(*stages, problem, options, group)
                             : make_rank_worker(*pairs, problem, options, group);
  const nlohmann::ordered_json& constants = stages ? stages->constants : pairs->constants;
  std::optional<Watch> watch;
  if (record != nullptr) {
    nlohmann::ordered_json line = describe_run(problem, options, constants);
    line["ranks"] = group.size();
    line["transport"] = group.transport();
    record->start(method, std::move(line));
    watch.emplace(problem, options, constants, *record);
  }
  Watch* const own_watch = watch ? &*watch : nullptr;
  group.barrier();
  if (kind == LabKind::kStages) {
    run_together(*worker, group, own_watch);
  } else {
    run_apart(*worker, group, own_watch);
  }
  if (watch) watch->end();
}

}  // namespace gossip::examples
