// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include <libgossip/algorithm/scaffold.h>

namespace gossip::algorithm {
namespace {

constexpr int kDifference = kFirstState;   // c_i - c
constexpr int kControl = kFirstState + 1;  // c; during a round the model at its start

}  // namespace

Scaffold::Scaffold(std::int64_t local_steps, double global_rate)
    : RoundAlgorithm(
          {.name = "scaffold",
           .mixing_needs = MixingNeeds::kNone,
           .state = {"control_difference", "control"}},
          {.before = {combine(kControl, {{kModel, 1.0}})},
           .local = {evaluate(), combine(kGradient, {{kGradient, 1.0}, {kDifference, -1.0}}),
                     local_update()},
           .after = {combine(kDifference,
                             {{kDifference, 1.0},
                              {kModel, -1.0 / static_cast<double>(local_steps), Scale::kPerRate}}),
                     mean(kModel),
                     combine(kDifference,
                             {{kDifference, 1.0},
                              {kModel, 1.0 / static_cast<double>(local_steps), Scale::kPerRate}}),
                     combine(kControl,
                             {{kControl, 1.0 / static_cast<double>(local_steps), Scale::kPerRate},
                              {kModel, -1.0 / static_cast<double>(local_steps), Scale::kPerRate}}),
                     combine(kModel,
                             {{kModel, 1.0},
                              {kControl, (1.0 - global_rate) * static_cast<double>(local_steps),
                               Scale::kRate}})}},
          std::max<std::int64_t>(local_steps, 1)) {
  check_local_steps(local_steps);
  check_range("global_rate", global_rate, std::numeric_limits<double>::min(),
              std::numeric_limits<double>::infinity());
}

}  // namespace gossip::algorithm
