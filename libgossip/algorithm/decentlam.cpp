// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/decentlam.h>

namespace gossip::algorithm {
namespace {

constexpr int kMomentum = kFirstState;

}  // namespace

DecentLaM::DecentLaM(double momentum)
    : Algorithm({.name = "decentlam",
                 .state = {"momentum"},
                 // What is mixed, X - eta G, takes the place of the gradient.
                 .kinds = {{evaluate(),
                            combine(kGradient, {{kModel, 1.0}, {kGradient, -1.0, Scale::kRate}}),
                            mix({kGradient}),
                            combine(kMomentum, {{kMomentum, momentum},
                                                {kModel, 1.0, Scale::kPerRate},
                                                {kGradient, -1.0, Scale::kPerRate}}),
                            combine(kGradient, {{kMomentum, 1.0}}), local_update()}}}) {
  check_range("momentum", momentum, 0.0, 1.0);
}

}  // namespace gossip::algorithm
