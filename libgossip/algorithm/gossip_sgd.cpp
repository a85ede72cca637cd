// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/gossip_sgd.h>

namespace gossip::algorithm {
namespace {

std::vector<Stage> mixing_step(MixingOrder order) {
  switch (order) {
    case MixingOrder::kCombineThenAdapt:
      return {evaluate(), mix({kModel}), local_update()};
    case MixingOrder::kDiffusion:
      return {mix({kModel}), evaluate(), local_update()};
    case MixingOrder::kAdaptThenCombine:
      break;
  }
  return {evaluate(), local_update(), mix({kModel})};
}

}  // namespace

GossipSGD::GossipSGD(MixingOrder order, std::int64_t local_steps)
    : Algorithm({.name = "gossip-sgd",
                 .kinds = {{evaluate(), local_update()}, mixing_step(order)},
                 .bears_late_values = true}),
      order_(order),
      local_steps_(local_steps) {
  check_local_steps(local_steps);
}

std::size_t GossipSGD::kind_of(std::int64_t step) const {
  // The diffusion order mixes before the first of H steps, the others after the last.
  const std::int64_t position = order_ == MixingOrder::kDiffusion ? step : step + 1;
  return position % local_steps_ == 0 ? 1 : 0;
}

}  // namespace gossip::algorithm
