// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/push_sum_sgd.h>

namespace gossip::algorithm {
namespace {

constexpr int kNumerator = kFirstState;
constexpr int kSentNumerator = kFirstState + 1;

}  // namespace

PushSumSGD::PushSumSGD()
    : Algorithm({.name = "push-sum",
                 .mixing_needs = MixingNeeds::kDirected,
                 .state = {"numerator"},
                 .num_sent = 1,
                 .kinds = {{evaluate(), local_update(),
                            // What the local update has added to U / w.
                            combine(kSentNumerator, {{kNumerator, 1.0},
                                                     {kNumerator, -1.0, Scale::kPerWeight},
                                                     {kModel, 1.0}}),
                            with_weight(push_sent(kSentNumerator, kNumerator)),
                            combine(kModel, {{kNumerator, 1.0, Scale::kPerWeight}})}}}) {}

}  // namespace gossip::algorithm
