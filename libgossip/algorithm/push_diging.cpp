// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/push_diging.h>

namespace gossip::algorithm {
namespace {

constexpr int kTracker = kFirstState;
constexpr int kLastGradient = kFirstState + 1;

}  // namespace

PushDIGing::PushDIGing()
    : Algorithm(
          {.name = "push-diging",
           .mixing_needs = MixingNeeds::kDirected,
           .state = {"tracker", "last_gradient"},
           .kinds = {{evaluate(),
                      combine(kTracker, {{kTracker, 1.0}, {kGradient, 1.0}, {kLastGradient, -1.0}}),
                      combine(kLastGradient, {{kGradient, 1.0}}),
                      combine(kGradient, {{kTracker, 1.0}}),
                      // The update and the push work on U.
                      combine(kModel, {{kModel, 1.0, Scale::kWeight}}), local_update(),
                      push({}, {kModel, kTracker}),
                      combine(kModel, {{kModel, 1.0, Scale::kPerWeight}})}}}) {}

}  // namespace gossip::algorithm
