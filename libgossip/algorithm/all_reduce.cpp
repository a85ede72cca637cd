// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/all_reduce.h>

namespace gossip::algorithm {

std::span<const Stage> AllReduce::stages(std::int64_t /*step*/) const {
  static const std::vector<Stage> kStages{{Action::kEvaluate, {kGradient}},
                                          {Action::kMean, {kGradient}},
                                          {Action::kLocalUpdate, {kModel}}};
  return kStages;
}

}  // namespace gossip::algorithm
