// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include <libgossip/algorithm/kgt.h>

namespace gossip::algorithm {
namespace {

constexpr int kCorrection = kFirstState;
constexpr int kMove = kFirstState + 1;  // Z; during a round the model at its start

}  // namespace

KGT::KGT(std::int64_t local_steps, double global_rate)
    : RoundAlgorithm(
          {.name = "kgt", .state = {"correction", "move"}},
          {.before = {combine(kMove, {{kModel, 1.0}})},
           .local = {evaluate(), combine(kGradient, {{kGradient, 1.0}, {kCorrection, 1.0}}),
                     local_update()},
           .after = {combine(kMove,
                             {{kMove, 1.0 / static_cast<double>(local_steps), Scale::kPerRate},
                              {kModel, -1.0 / static_cast<double>(local_steps), Scale::kPerRate}}),
                     combine(kCorrection, {{kCorrection, 1.0}, {kMove, -1.0}}),
                     combine(kModel,
                             {{kModel, 1.0},
                              {kMove, (1.0 - global_rate) * static_cast<double>(local_steps),
                               Scale::kRate}}),
                     mix({kModel, kMove}),
                     combine(kCorrection, {{kCorrection, 1.0}, {kMove, 1.0}})}},
          local_steps) {
  check_range("global_rate", global_rate, std::numeric_limits<double>::min(),
              std::numeric_limits<double>::infinity());
}

}  // namespace gossip::algorithm
