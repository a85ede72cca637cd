// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/momentum_tracking.h>

namespace gossip::algorithm {
namespace {

constexpr int kMomentum = kFirstState;
constexpr int kCorrection = kFirstState + 1;

}  // namespace

MomentumTracking::MomentumTracking(double momentum)
    : Algorithm(
          {.name = "momentum-tracking",
           .state = {"momentum", "correction"},
           .kinds = {{evaluate(), combine(kMomentum, {{kMomentum, momentum}, {kGradient, 1.0}}),
                      combine(kCorrection, {{kCorrection, 1.0}, {kMomentum, -1.0}}),
                      combine(kGradient, {{kCorrection, -1.0}}), mix({kModel, kCorrection}),
                      local_update(),
                      combine(kCorrection, {{kCorrection, 1.0}, {kMomentum, 1.0}})}}}) {
  check_range("momentum", momentum, 0.0, 1.0);
}

}  // namespace gossip::algorithm
