// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/pairs.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <libgossip/algorithm/a2cid2.h>
#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/algorithm/dadao.h>
#include <libgossip/base/error.h>
#include <libgossip/sim/pair_simulation.h>
#include <libgossip/sim/poisson_clock.h>
#include <libgossip/topology/second_moment.h>

namespace gossip::examples {
namespace {

using nlohmann::ordered_json;
using topology::Chi;

/// The larger chis of all graphs.
template <class ChiOf>
Chi worst_chi(const std::vector<topology::Graph>& graphs, const ChiOf& chi_of) {
  Chi worst{0.0, 0.0};
  for (const topology::Graph& graph : graphs) {
    const Chi chi = chi_of(graph);
    worst.chi1 = std::max(worst.chi1, chi.chi1);
    worst.chi2 = std::max(worst.chi2, chi.chi2);
  }
  return worst;
}

/// Of ad-psgd and a2cid2, whose step has to be the smaller, the slower the graph averages.
PairPlan averaging_plan(std::string_view name, const ConvexProblem& problem,
                        const LabOptions& options) {
  const double rate = options.events_per_gradient;
  const Chi unit = worst_chi(options.graphs, topology::chi_per_worker);
  const Chi chi{unit.chi1 / rate, unit.chi2 / rate};
  const bool has_momentum = name == "a2cid2";
  const double slowness = has_momentum ? std::sqrt(chi.chi1 * chi.chi2) : chi.chi1;
  const double lr = options.lr.value_or(1.0 / (problem.lipschitz() * (1.0 + slowness)));
  PairPlan plan;
  plan.gradient_factor = -lr;
  plan.constants = {{"chi1", chi.chi1}, {"chi2", chi.chi2}, {"lr", lr}};
  if (has_momentum) {
    const auto constants = algorithm::a2cid2_constants(chi.chi1, chi.chi2);
    plan.constants["eta"] = constants.eta;
    plan.constants["alpha_tilde"] = constants.alpha_tilde;
    plan.method = std::make_shared<const algorithm::A2CiD2>(constants);
  } else {
    plan.method = std::make_shared<const algorithm::ADPSGD>();
  }
  for (const topology::Graph& graph : options.graphs) {
    plan.edges.push_back(topology::equal_intensities(graph, rate));
  }
  return plan;
}

/// Equal intensities on the edges of each graph, `rate` events in all.
PairPlan dadao_plan(const ConvexProblem& problem, const LabOptions& options) {
  const Chi chi = worst_chi(options.graphs, topology::chi_edge_probability);
  const double safety = options.safety.value_or(2.0);
  const double rate = safety * algorithm::dadao_least_rate(chi);
  const auto constants = algorithm::dadao_constants(problem.mu(), problem.lipschitz(), chi, rate);
  PairPlan plan;
  plan.method = std::make_shared<const algorithm::DADAO>(constants);
  plan.constants = describe(constants);
  plan.constants["safety"] = safety;
  plan.constants["theory_rate"] = constants.eta;
  for (const topology::Graph& graph : options.graphs) {
    plan.edges.push_back(topology::equal_intensities(graph, 2.0 * rate / graph.size()));
  }
  return plan;
}

std::vector<double> gradient_rates(const LabOptions& options) {
  std::vector<double> rates;
  for (const double factor : options.slowness) rates.push_back(1.0 / factor);
  return rates;
}

class PairGroup final : public LabGroup {
 public:
  PairGroup(PairPlan plan, const ConvexProblem& problem, const LabOptions& options)
      : plan_(std::move(plan)),
        problem_(problem),
        period_(plan_.edges.size() > 1 ? options.graph_period : INFINITY),
        next_change_(period_),
        clock_(problem.num_workers(), plan_.edges.front(), gradient_rates(options), options.seed),
        group_(*plan_.method, problem.num_workers(), problem.dimension()),
        local_step_([this](Rank worker, std::span<const double> model, std::span<double> local) {
          problem_.gradient(worker, model, local);
          for (double& value : local) value *= plan_.gradient_factor;
        }) {}

  void advance() override {
    const int events = std::max(1, problem_.num_workers() / 4);
    for (int k = 0; k < events; ++k) play_next();
  }

  [[nodiscard]] LabCounts counts() const override {
    const double payload = 2.0 * static_cast<double>(problem_.dimension() * sizeof(double));
    return {group_.time(), gradients_, pairs_, pairs_ * payload};
  }

  [[nodiscard]] std::span<const double> model(Rank worker) const override {
    return group_.model(worker);
  }

  [[nodiscard]] ordered_json constants() const override { return plan_.constants; }

 private:
  void play_next() {
    sim::Event event = clock_.next();
    while (event.time > next_change_) {
      graph_ = (graph_ + 1) % plan_.edges.size();
      clock_.change_edges(next_change_, plan_.edges[graph_]);
      next_change_ += period_;
      event = clock_.next();
    }
    group_.play(event, local_step_);
    (event.is_gradient() ? gradients_ : pairs_) += 1.0;
  }

  PairPlan plan_;
  const ConvexProblem& problem_;
  double period_;
  double next_change_;
  std::size_t graph_ = 0;
  sim::PoissonClock clock_;
  sim::PairSimulation group_;
  sim::PairSimulation::LocalStep local_step_;
  double gradients_ = 0.0;
  double pairs_ = 0.0;
};

}  // namespace

PairPlan make_pair_plan(std::string_view name, const ConvexProblem& problem,
                        const LabOptions& options) {
  return name == "dadao" ? dadao_plan(problem, options) : averaging_plan(name, problem, options);
}

ordered_json describe(const algorithm::DADAOConstants& c) {
  return {{"mu", c.mu},
          {"L", c.lipschitz},
          {"nu", c.nu},
          {"s", c.s},
          {"eta", c.eta},
          {"alpha", c.alpha},
          {"alpha_tilde", c.alpha_tilde},
          {"theta", c.theta},
          {"gamma", c.gamma},
          {"gamma_tilde", c.gamma_tilde},
          {"delta", c.delta},
          {"beta", c.beta},
          {"beta_tilde", c.beta_tilde},
          {"chi1", c.chi1},
          {"chi2", c.chi2},
          {"rate", c.rate},
          {"least_rate", algorithm::dadao_least_rate({c.chi1, c.chi2})}};
}

std::unique_ptr<LabGroup> make_pair_group(std::string_view name, const ConvexProblem& problem,
                                          const LabOptions& options) {
  return std::make_unique<PairGroup>(make_pair_plan(name, problem, options), problem, options);
}

}  // namespace gossip::examples
