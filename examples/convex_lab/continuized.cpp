// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/continuized.h"

#include <algorithm>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/sim/continuized_simulation.h>
#include <libgossip/sim/poisson_clock.h>
#include <libgossip/topology/second_moment.h>

namespace gossip::examples {
namespace {

class ContinuizedGroup final : public LabGroup {
 public:
  ContinuizedGroup(const ConvexProblem& problem, const LabOptions& options)
      : problem_(problem),
        edges_(topology::equal_intensities(options.graphs.front(), 2.0 / problem.num_workers())),
        clock_(problem.num_workers(), edges_, /*gradient_rate=*/0.0, options.seed),
        group_(problem.num_workers(), edges_, problem.mu(), problem.lipschitz(),
               problem.dimension()),
        solutions_(static_cast<std::size_t>(problem.num_workers()),
                   std::vector<double>(problem.dimension())) {
    for (Rank worker = 0; worker < problem.num_workers(); ++worker) solve(worker);
  }

  void advance() override {
    const int events = std::max(1, problem_.num_workers() / 4);
    for (int k = 0; k < events; ++k) {
      const sim::Event event = clock_.next();
      group_.play(event, [&](Rank worker, std::span<const double> dual, std::span<double> x) {
        problem_.dual_gradient(worker, dual, x);
      });
      solve(event.worker);
      solve(event.peer);
    }
  }

  [[nodiscard]] LabCounts counts() const override {
    return {group_.time(), static_cast<double>(group_.gradients()),
            static_cast<double>(group_.communications()), static_cast<double>(group_.bytes_sent())};
  }

  [[nodiscard]] std::span<const double> model(Rank worker) const override {
    return solutions_[static_cast<std::size_t>(worker)];
  }

  [[nodiscard]] nlohmann::ordered_json constants() const override {
    const auto constants = sim::continuized_constants(problem_.num_workers(), edges_, problem_.mu(),
                                                      problem_.lipschitz());
    return {{"eta", constants.eta},
            {"gamma_tilde", constants.gamma_tilde},
            {"theory_rate", constants.eta}};
  }

 private:
  /// What the worker's Z stands for; not counted, as it is for looking only.
  void solve(Rank worker) {
    problem_.dual_gradient(worker, group_.dual(worker),
                           solutions_[static_cast<std::size_t>(worker)]);
  }

  const ConvexProblem& problem_;
  std::vector<topology::EdgeIntensity> edges_;
  sim::PoissonClock clock_;
  sim::ContinuizedSimulation group_;
  std::vector<std::vector<double>> solutions_;
};

}  // namespace

std::unique_ptr<LabGroup> make_continuized_group(const ConvexProblem& problem,
                                                 const LabOptions& options) {
  GOSSIP_CHECK(problem.has_dual(),
               "continuized needs gradients of conjugates, which only the problems quad and "
               "quadratic have.");
  GOSSIP_CHECK(options.graphs.size() == 1,
               "continuized needs one topology, not {} that take turns.", options.graphs.size());
  return std::make_unique<ContinuizedGroup>(problem, options);
}

}  // namespace gossip::examples
