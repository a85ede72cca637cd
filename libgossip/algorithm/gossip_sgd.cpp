// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/gossip_sgd.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {
namespace {

std::vector<Stage> local_step() {
  return {{Action::kEvaluate, {kGradient}}, {Action::kLocalUpdate, {kModel}}};
}

std::vector<Stage> mixing_step(MixingOrder order) {
  const Stage evaluate{Action::kEvaluate, {kGradient}};
  const Stage update{Action::kLocalUpdate, {kModel}};
  const Stage mix{Action::kPull, {kModel}};
  switch (order) {
    case MixingOrder::kCombineThenAdapt:
      return {evaluate, mix, update};
    case MixingOrder::kDiffusion:
      return {mix, evaluate, update};
    case MixingOrder::kAdaptThenCombine:
      break;
  }
  return {evaluate, update, mix};
}

}  // namespace

GossipSGD::GossipSGD(MixingOrder order, std::int64_t local_steps)
    : order_(order),
      local_steps_(local_steps),
      mixing_step_(mixing_step(order)),
      local_step_(local_step()) {
  GOSSIP_CHECK(local_steps >= 1,
               "local_steps is {}: the steps between two mixings must be at least 1.", local_steps);
}

std::span<const Stage> GossipSGD::stages(std::int64_t step) const {
  // The diffusion order mixes before the first of H steps, the others after the last.
  const std::int64_t position = order_ == MixingOrder::kDiffusion ? step : step + 1;
  return position % local_steps_ == 0 ? mixing_step_ : local_step_;
}

}  // namespace gossip::algorithm
