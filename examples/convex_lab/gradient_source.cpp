// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/gradient_source.h"

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/sim/finite_sum.h>

namespace gossip::examples {
namespace {

class Exact final : public GradientSource {
 public:
  Exact(const ConvexProblem& problem, Rank worker, bool is_dual)
      : problem_(problem), worker_(worker), is_dual_(is_dual) {}

  void write(std::span<const double> x, std::span<double> result) override {
    ++count_;
    if (is_dual_) {
      problem_.dual_gradient(worker_, x, result);
    } else {
      problem_.gradient(worker_, x, result);
    }
  }

  [[nodiscard]] double count() const override { return static_cast<double>(count_); }

 private:
  const ConvexProblem& problem_;
  Rank worker_;
  bool is_dual_;
  std::int64_t count_ = 0;
};

/// An estimator of the room sim on this worker alone.
template <class Estimator>
class Estimate final : public GradientSource {
 public:
  Estimate(Estimator estimator, std::size_t components)
      : estimator_(std::move(estimator)), components_(static_cast<double>(components)) {}

  void write(std::span<const double> x, std::span<double> result) override {
    estimator_.estimate(0, x, result);
  }

  [[nodiscard]] double count() const override {
    return static_cast<double>(estimator_.component_gradients()) / components_;
  }

 private:
  Estimator estimator_;
  double components_;
};

sim::FiniteSum components_of(const ConvexProblem& problem, Rank worker) {
  return {.size = 1,
          .num_samples = static_cast<std::int64_t>(problem.num_components(worker)),
          .num_elements = problem.dimension(),
          .component_gradient = [&problem, worker](Rank, std::int64_t component,
                                                   std::span<const double> x,
                                                   std::span<double> result) {
            problem.component_gradient(worker, static_cast<std::size_t>(component), x, result);
          }};
}

}  // namespace

std::unique_ptr<GradientSource> make_gradient_source(GradientKind kind,
                                                     const ConvexProblem& problem, Rank worker,
                                                     std::uint64_t seed) {
  GOSSIP_CHECK(kind != GradientKind::kDual || problem.has_dual(),
               "The method needs gradients of conjugates, which only the problems quad and "
               "quadratic have.");
  const std::size_t components = problem.num_components(worker);
  const std::uint64_t own = SplitMix64::at(seed, static_cast<std::uint64_t>(worker))();
  switch (kind) {
    case GradientKind::kSaga:
      return std::make_unique<Estimate<sim::Saga>>(sim::Saga(components_of(problem, worker), own),
                                                   components);
    case GradientKind::kLooplessSvrg:
      return std::make_unique<Estimate<sim::LooplessSVRG>>(
          sim::LooplessSVRG(components_of(problem, worker), 1.0 / static_cast<double>(components),
                            own),
          components);
    default:
      return std::make_unique<Exact>(problem, worker, kind == GradientKind::kDual);
  }
}

}  // namespace gossip::examples
