// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/methods.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/base/suggest.h>

#include "convex_lab/continuized.h"
#include "convex_lab/pairs.h"
#include "convex_lab/stages.h"

namespace gossip::examples {
namespace {

constexpr std::array kMethods{
    LabMethodName{"dadao", LabKind::kPairs, "decoupled, accelerated, asynchronous"},
    LabMethodName{"gossip-sgd", LabKind::kStages, "plain gossip descent; ends near the optimum"},
    LabMethodName{"gradient-tracking", LabKind::kStages, "each worker follows the mean gradient"},
    LabMethodName{"adom-plus", LabKind::kStages, "ADOM+: accelerated, primal"},
    LabMethodName{"adom-plus-mc", LabKind::kStages, "ADOM+ with several mixings a step"},
    LabMethodName{"msda", LabKind::kStages, "accelerated in the dual, several mixings a step"},
    LabMethodName{"continuized", LabKind::kDual, "asynchronous, dual: two gradients an event"},
    LabMethodName{"ad-psgd", LabKind::kPairs, "pairs average; ends near the optimum"},
    LabMethodName{"a2cid2", LabKind::kPairs, "the same with a continuous momentum"},
    LabMethodName{"push-pull-device-sampling", LabKind::kStages,
                  "a share of the workers at a time, --active"},
    LabMethodName{"gt-saga", LabKind::kStages, "gradient tracking, one component at a time, SAGA"},
    LabMethodName{"gt-lsvrg", LabKind::kStages, "the same with loopless SVRG"},
    LabMethodName{"centralized", LabKind::kTheory, "n + sqrt(n L / mu) gradients a factor of e"},
};

/// The centralized finite-sum rate: models on the way from 0 to the optimum.
class Centralized final : public LabGroup {
 public:
  explicit Centralized(const ConvexProblem& problem)
      : problem_(problem),
        scale_(problem.num_workers() +
               std::sqrt(problem.num_workers() * problem.lipschitz() / problem.mu())) {
    advance();
  }

  void advance() override {
    const double left = std::exp(-0.5 * step_++ / kSteps);
    model_.assign(problem_.optimum().begin(), problem_.optimum().end());
    for (double& value : model_) value *= 1.0 - left;
  }

  [[nodiscard]] LabCounts counts() const override {
    const double gradients = (step_ - 1) / kSteps * scale_;
    return {.model_time = gradients / problem_.num_workers(), .gradients = gradients};
  }

  [[nodiscard]] std::span<const double> model(Rank) const override { return model_; }
  [[nodiscard]] nlohmann::ordered_json constants() const override {
    return {{"gradients_per_factor_e", scale_}};
  }

 private:
  static constexpr double kSteps = 8.0;  // a factor of e

  const ConvexProblem& problem_;
  double scale_;
  int step_ = 0;
  std::vector<double> model_;
};

}  // namespace

std::span<const LabMethodName> lab_methods() { return kMethods; }

LabKind kind_of(std::string_view name) {
  const auto* const found = std::find_if(kMethods.begin(), kMethods.end(),
                                         [&](const auto& method) { return method.name == name; });
  if (found != kMethods.end()) return found->kind;
  std::vector<std::string> known;
  for (const LabMethodName& method : kMethods) known.emplace_back(method.name);
  throw Error(unknown_name("method", name, known));
}

std::unique_ptr<LabGroup> make_lab_group(std::string_view name, const ConvexProblem& problem,
                                         const LabOptions& options) {
  switch (kind_of(name)) {
    case LabKind::kPairs:
      return make_pair_group(name, problem, options);
    case LabKind::kStages:
      return make_stage_group(name, problem, options);
    case LabKind::kDual:
      return make_continuized_group(problem, options);
    default:
      return std::make_unique<Centralized>(problem);
  }
}

}  // namespace gossip::examples
