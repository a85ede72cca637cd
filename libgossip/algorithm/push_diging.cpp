// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/push_diging.h>

namespace gossip::algorithm {
namespace {

constexpr int kCorrection = kFirstState;  // Y - G, as in GradientTracking
constexpr int kTracker = kFirstState + 1;

}  // namespace

PushDIGing::PushDIGing()
    : Algorithm(
          {.name = "push-diging",
           .mixing_needs = MixingNeeds::kDirected,
           .state = {"correction"},
           .num_sent = 1,
           .kinds = {{evaluate(), combine(kTracker, {{kCorrection, 1.0}, {kGradient, 1.0}}),
                      // The update and the push work on U, and so does a weight decay: trackers
                      // grow with w.
                      combine(kModel, {{kModel, 1.0, Scale::kWeight}}), local_update(kTracker),
                      with_sent(with_weight(push({}, {kModel})), kTracker, kCorrection, true),
                      combine(kModel, {{kModel, 1.0, Scale::kPerWeight}})}},
           .skips_rounds = true}) {}

}  // namespace gossip::algorithm
