// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/algorithm/led.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {
namespace {

constexpr int kDual = kFirstState;

}  // namespace

LED::LED(std::int64_t local_steps, double beta)
    : RoundAlgorithm(
          {.name = "led",
           .mixing_needs = MixingNeeds::kSymmetric,
           .state = {"dual"},
           .kinds = {},
           .eigenvalue_bound = -1.0 / 3},
          {.local = {evaluate(), local_update(), combine(kModel, {{kModel, 1.0}, {kDual, -beta}})},
           .after = {combine(kDual, {{kDual, 1.0}, {kModel, 1.0}}), mix({kModel}),
                     combine(kDual, {{kDual, 1.0}, {kModel, -1.0}})}},
          local_steps) {
  GOSSIP_CHECK(beta > 0.0 && beta <= 1.0, "beta is {}: it must be above 0 and at most 1.", beta);
}

LED::LED(std::int64_t local_steps)
    : LED(local_steps, 1.0 / static_cast<double>(std::max<std::int64_t>(local_steps, 1))) {}

}  // namespace gossip::algorithm
