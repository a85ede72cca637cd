// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/run.h"

#include <cmath>
#include <vector>

#include <fmt/format.h>

#include <libgossip/kernels/vector.h>

#include "convex_lab/methods.h"

namespace gossip::examples {
namespace {

/// Of |x*|^2, at the start where all models are 0.
constexpr double kDiverged = 1e9;

/// Gradients of a worker before an error that does not fall counts as the last one.
constexpr double kPatience = 1e4;

}  // namespace

LabError error_of(const std::vector<std::span<const double>>& models,
                  std::span<const double> optimum, double first) {
  const auto workers = static_cast<double>(models.size());
  std::vector<double> mean(optimum.size(), 0.0);
  double distance = 0.0;
  for (const std::span<const double> model : models) {
    distance += kernels::squared_distance(model, optimum);
    kernels::axpby(1.0 / workers, model, 1.0, std::span(mean));
  }
  double spread = 0.0;
  for (const std::span<const double> model : models) {
    spread += kernels::squared_distance(model, std::span<const double>(mean));
  }
  return {distance / (workers * first), spread / (workers * first)};
}

std::string remark_on_divergence(const nlohmann::ordered_json& constants, const LabCounts& counts,
                                 int workers) {
  if (!constants.contains("rate")) return "";
  return fmt::format(
      "it planned {:.4g} events per unit of time, {:.4g} happened, and it needs at least {:.4g}; a "
      "worker evaluated {:.2g} gradients on average",
      constants.at("rate").get<double>(), counts.communications / counts.model_time,
      constants.at("least_rate").get<double>(), counts.gradients / counts.model_time / workers);
}

nlohmann::ordered_json describe_run(const ConvexProblem& problem, const LabOptions& options,
                                    nlohmann::ordered_json constants) {
  return {{"problem", problem.describe()},    {"topology", options.topologies},
          {"workers", problem.num_workers()}, {"seed", options.seed},
          {"slow_rank", options.slow_ranks},  {"constants", std::move(constants)}};
}

std::optional<std::string> LabEnd::status(const LabCounts& counts, double error) {
  if (error <= options_.accuracy) return "reached";
  if (!(error <= kDiverged)) return "diverged";
  const bool is_late = options_.until > 0 && counts.model_time >= options_.until;
  const double workers = options_.workers;
  if (is_late || counts.gradients >= options_.max_gradients * workers) return "stopped";
  if (error < 0.9 * best_) {
    best_ = error;
    gradients_at_best_ = counts.gradients;
  }
  if (counts.gradients > 4.0 * gradients_at_best_ + kPatience * workers) return "stalled";
  return std::nullopt;
}

void run_in_virtual_time(const std::string& method, const ConvexProblem& problem,
                         const LabOptions& options, LabRecord& record) {
  const auto group = make_lab_group(method, problem, options);
  const std::vector<double> zero(problem.dimension(), 0.0);
  const double distance =
      kernels::squared_distance(std::span<const double>(zero), problem.optimum());
  const double first = distance > 0.0 ? distance : 1.0;
  record.start(method, describe_run(problem, options, group->constants()));
  LabEnd end(options);
  for (;;) {
    const LabCounts counts = group->counts();
    std::vector<std::span<const double>> models;
    for (Rank worker = 0; worker < problem.num_workers(); ++worker) {
      models.push_back(group->model(worker));
    }
    const LabError error = error_of(models, problem.optimum(), first);
    record.note(counts, error);
    if (const auto status = end.status(counts, error.error)) {
      record.end(*status, *status == "diverged"
                              ? remark_on_divergence(group->constants(), counts, options.workers)
                              : "");
      return;
    }
    group->advance();
  }
}

}  // namespace gossip::examples
