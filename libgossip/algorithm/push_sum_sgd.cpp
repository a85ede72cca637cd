// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/push_sum_sgd.h>

namespace gossip::algorithm {
namespace {

constexpr int kExcess = kFirstState;  // U - Z; U while a round goes on

}  // namespace

PushSumSGD::PushSumSGD()
    : Algorithm(
          {.name = "push-sum",
           .mixing_needs = MixingNeeds::kDirected,
           .state = {"push-sum"},
           .kinds = {{evaluate(), local_update(), combine(kExcess, {{kExcess, 1.0}, {kModel, 1.0}}),
                      with_weight(push({}, {kExcess})),
                      combine(kModel, {{kExcess, 1.0, Scale::kPerWeight}}),
                      // Exact for weights between 1/2 and 2.
                      combine(kExcess, {{kExcess, 1.0}, {kModel, -1.0}})}}}) {}

}  // namespace gossip::algorithm
