// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/qg_dsgdm.h>

namespace gossip::algorithm {
namespace {

constexpr int kMomentum = kFirstState;

}  // namespace

QGDSGDm::QGDSGDm(double momentum)
    : Algorithm(
          {.name = "qg-dsgdm",
           .state = {"momentum"},
           .kinds = {{evaluate(), combine(kGradient, {{kGradient, 1.0}, {kMomentum, momentum}}),
                      combine(kMomentum,
                              {{kMomentum, momentum}, {kModel, 1.0 - momentum, Scale::kPerRate}}),
                      local_update(), mix({kModel}),
                      combine(kMomentum,
                              {{kMomentum, 1.0}, {kModel, momentum - 1.0, Scale::kPerRate}})}}}) {
  check_range("momentum", momentum, 0.0, 1.0);
}

}  // namespace gossip::algorithm
