// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/stages.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <libgossip/algorithm/adom_plus.h>
#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/algorithm/gradient_tracking.h>
#include <libgossip/algorithm/msda.h>
#include <libgossip/algorithm/push_pull.h>
#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/sim/staged_simulation.h>
#include <libgossip/topology/directed.h>
#include <libgossip/topology/spectral.h>
#include <libgossip/topology/weights.h>

namespace gossip::examples {
namespace {

using algorithm::Consensus;
using nlohmann::ordered_json;
using topology::Graph;

/// One matrix, or several, each for as many rounds as its graph lasts.
template <class Weights>
topology::Schedule schedule_of(const LabOptions& options, const Weights& weights) {
  if (options.graphs.size() == 1) {
    return {weights(options.graphs.front()), options.graphs.front().name()};
  }
  std::vector<topology::Schedule> turns;
  for (const Graph& graph : options.graphs) turns.emplace_back(weights(graph));
  const auto count = static_cast<std::int64_t>(turns.size());
  const auto rounds = std::max<std::int64_t>(1, std::llround(options.graph_period));
  const int size = options.graphs.front().size();
  return {"changing", size, narrow<int>(rounds * count),
          [turns = std::move(turns), rounds, count](std::int64_t round, Rank rank,
                                                    topology::Neighborhood& result) {
            turns[static_cast<std::size_t>(round / rounds % count)].neighborhood(0, rank, result);
          }};
}

/// lambda_max / lambda_2 of the worst graph.
double worst_chi(const LabOptions& options) {
  double worst = 1.0;
  for (const Graph& graph : options.graphs) {
    worst = std::max(worst, topology::laplacian_spectrum(graph).chi());
  }
  return worst;
}

/// 1 - rho of the worst graph's default weights.
double worst_gap(const LabOptions& options) {
  double worst = 1.0;
  for (const Graph& graph : options.graphs) {
    worst = std::min(worst, topology::spectral_constants(topology::metropolis(graph)).gap);
  }
  return worst;
}

template <class Method, class... Arguments>
auto maker(Arguments... arguments) {
  return [=](Rank) { return std::make_shared<const Method>(arguments...); };
}

StagePlan adom_plus_plan(const ConvexProblem& problem, const LabOptions& options,
                         Consensus consensus) {
  const double chi = worst_chi(options);
  const auto constants =
      algorithm::adom_plus_constants(problem.mu(), problem.lipschitz(), chi, consensus);
  return {.make = maker<algorithm::ADOMPlus>(constants),
          .matrices = schedule_of(options, topology::spectral_weights),
          .constants = {{"chi", chi}, {"rounds", constants.rounds}}};
}

/// Of accelerated descent on the dual, whose condition the mixings of a step improve.
double msda_rate(double kappa, double chi, int rounds) {
  const double c = std::pow((std::sqrt(chi) - 1.0) / (std::sqrt(chi) + 1.0), rounds);
  return (1.0 - c) / ((1.0 + c) * std::sqrt(kappa));
}

StagePlan msda_plan(const ConvexProblem& problem, const LabOptions& options) {
  GOSSIP_CHECK(options.graphs.size() == 1,
               "msda accelerates the mixing with one matrix: it needs one topology.");
  const double chi = worst_chi(options);
  const auto constants = algorithm::msda_constants(problem.mu(), problem.lipschitz(), chi);
  return {.make = maker<algorithm::MSDA>(constants),
          .matrices = schedule_of(options, topology::spectral_weights),
          .gradient = GradientKind::kDual,
          .constants = {{"chi", chi},
                        {"rounds", constants.rounds},
                        {"theory_rate",
                         msda_rate(problem.lipschitz() / problem.mu(), chi, constants.rounds)}}};
}

StagePlan tracking_plan(const ConvexProblem& problem, const LabOptions& options,
                        GradientKind kind) {
  const bool is_full = kind == GradientKind::kFull;
  const double smoothness = is_full ? problem.lipschitz() : 3.0 * problem.component_lipschitz();
  const double gap = worst_gap(options);
  const double lr = options.lr.value_or(std::min(1.0, 2.0 * gap) / smoothness);
  return {.make = maker<algorithm::GradientTracking>(),
          .matrices = schedule_of(options, topology::metropolis),
          .lr = lr,
          .gradient = kind,
          .constants = {{"gap", gap}, {"lr", lr}}};
}

StagePlan sampled_plan(const ConvexProblem& problem, const LabOptions& options) {
  const int workers = problem.num_workers();
  const int active =
      std::clamp(static_cast<int>(std::lround(options.active * workers)), 1, workers);
  const auto sampling = topology::Sampling::uniform(workers, active, options.seed);
  const auto schedule = schedule_of(options, topology::uniform_in_degree);
  const double gap = worst_gap(options);
  const double share = static_cast<double>(active) / workers;
  const double lr = options.lr.value_or(share * share * gap / problem.lipschitz());
  return {.make =
              [sampling](Rank worker) {
                return std::make_shared<const algorithm::PushPull>(
                    [=](std::int64_t step) { return sampling.is_active(step, worker); });
              },
          .matrices = {topology::sampled_rows(schedule, sampling),
                       topology::sampled_columns(schedule, sampling)},
          .lr = lr,
          .is_sampled = true,
          .constants = {{"active", active}, {"lr", lr}}};
}

class StageGroup final : public LabGroup {
 public:
  StageGroup(StagePlan plan, const ConvexProblem& problem, const LabOptions& options)
      : plan_(std::move(plan)),
        problem_(problem),
        step_time_(*std::max_element(options.slowness.begin(), options.slowness.end())),
        group_(methods(plan_, problem.num_workers()), plan_.matrices, problem.dimension(),
               plan_.lr),
        solutions_(static_cast<std::size_t>(problem.num_workers()),
                   std::vector<double>(problem.dimension())) {
    for (Rank worker = 0; worker < problem.num_workers(); ++worker) {
      sources_.push_back(make_gradient_source(plan_.gradient, problem, worker, options.seed));
    }
  }

  void advance() override {
    group_.step([&](Rank worker, std::span<const double> x, std::span<double> gradient) {
      sources_[static_cast<std::size_t>(worker)]->write(x, gradient);
    });
  }

  [[nodiscard]] LabCounts counts() const override {
    double gradients = 0.0;
    for (const auto& source : sources_) gradients += source->count();
    const double of_one = gradients / problem_.num_workers();
    return {of_one * step_time_, gradients, group_.communications(),
            static_cast<double>(group_.bytes_sent())};
  }

  [[nodiscard]] std::span<const double> model(Rank worker) const override {
    if (plan_.gradient != GradientKind::kDual) return group_.model(worker);
    std::vector<double>& solution = solutions_[static_cast<std::size_t>(worker)];
    problem_.dual_gradient(worker, group_.model(worker), solution);
    return solution;
  }

  [[nodiscard]] ordered_json constants() const override { return plan_.constants; }

 private:
  static std::vector<sim::StagedSimulation::Method> methods(const StagePlan& plan, int workers) {
    std::vector<sim::StagedSimulation::Method> all;
    const auto first = plan.make(0);
    for (Rank worker = 0; worker < workers; ++worker) {
      all.push_back(plan.is_sampled ? plan.make(worker) : first);
    }
    return all;
  }

  StagePlan plan_;
  const ConvexProblem& problem_;
  double step_time_;
  sim::StagedSimulation group_;
  std::vector<std::unique_ptr<GradientSource>> sources_;
  mutable std::vector<std::vector<double>> solutions_;  // by worker, where models are dual
};

}  // namespace

StagePlan make_stage_plan(std::string_view name, const ConvexProblem& problem,
                          const LabOptions& options) {
  if (name == "adom-plus") return adom_plus_plan(problem, options, Consensus::kSingle);
  if (name == "adom-plus-mc") return adom_plus_plan(problem, options, Consensus::kMulti);
  if (name == "msda") return msda_plan(problem, options);
  if (name == "gt-saga") return tracking_plan(problem, options, GradientKind::kSaga);
  if (name == "gt-lsvrg") return tracking_plan(problem, options, GradientKind::kLooplessSvrg);
  if (name == "gradient-tracking") return tracking_plan(problem, options, GradientKind::kFull);
  if (name == "push-pull-device-sampling") return sampled_plan(problem, options);
  const double lr = options.lr.value_or(worst_gap(options) / problem.lipschitz());
  return {.make = maker<algorithm::GossipSGD>(),
          .matrices = schedule_of(options, topology::metropolis),
          .lr = lr,
          .constants = {{"lr", lr}}};
}

std::unique_ptr<LabGroup> make_stage_group(std::string_view name, const ConvexProblem& problem,
                                           const LabOptions& options) {
  return std::make_unique<StageGroup>(make_stage_plan(name, problem, options), problem, options);
}

}  // namespace gossip::examples
