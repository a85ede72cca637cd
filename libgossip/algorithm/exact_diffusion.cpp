// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <libgossip/algorithm/exact_diffusion.h>

namespace gossip::algorithm {
namespace {

constexpr int kPsi = kFirstState;

}  // namespace

ExactDiffusion::ExactDiffusion()
    : first_{{Action::kEvaluate, {kGradient}},
             {Action::kLocalUpdate, {kModel}},
             {Action::kCombine, {kPsi}, {{kModel, 1.0}}},
             {Action::kPull, {kModel}}},
      // Psi holds X - Psi during the update, so that one vector is enough.
      later_{{Action::kEvaluate, {kGradient}},
             {Action::kCombine, {kPsi}, {{kModel, 1.0}, {kPsi, -1.0}}},
             {Action::kLocalUpdate, {kModel}},
             {Action::kCombine, {kModel}, {{kModel, 1.0}, {kPsi, 1.0}}},
             {Action::kCombine, {kPsi}, {{kModel, 1.0}, {kPsi, -1.0}}},
             {Action::kPull, {kModel}}} {}

std::span<const std::string_view> ExactDiffusion::state() const {
  static constexpr std::array<std::string_view, 1> kNames{"psi"};
  return kNames;
}

std::span<const Stage> ExactDiffusion::stages(std::int64_t step) const {
  return step == 0 ? first_ : later_;
}

}  // namespace gossip::algorithm
