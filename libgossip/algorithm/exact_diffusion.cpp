// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/exact_diffusion.h>

namespace gossip::algorithm {
namespace {

constexpr int kPsi = kFirstState;

}  // namespace

ExactDiffusion::ExactDiffusion()
    : Algorithm(
          {.name = "exact-diffusion",
           .mixing_needs = MixingNeeds::kSymmetric,
           .state = {"psi"},
           .kinds = {{evaluate(), local_update(), combine(kPsi, {{kModel, 1.0}}), mix({kModel})},
                     // Psi holds X - Psi during the update, so that one vector is enough.
                     {evaluate(), combine(kPsi, {{kModel, 1.0}, {kPsi, -1.0}}), local_update(),
                      combine(kModel, {{kModel, 1.0}, {kPsi, 1.0}}),
                      combine(kPsi, {{kModel, 1.0}, {kPsi, -1.0}}), mix({kModel})}},
           .eigenvalue_bound = -1.0 / 3}) {}

}  // namespace gossip::algorithm
