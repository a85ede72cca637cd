// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/all_reduce.h>

namespace gossip::algorithm {

AllReduce::AllReduce()
    : Algorithm({.name = "allreduce",
                 .mixing_needs = MixingNeeds::kNone,
                 .kinds = {{evaluate(), mean(kGradient), local_update()}}}) {}

}  // namespace gossip::algorithm
