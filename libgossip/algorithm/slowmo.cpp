// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include <libgossip/algorithm/slowmo.h>

namespace gossip::algorithm {
namespace {

constexpr int kStart = kFirstState;
constexpr int kMomentum = kFirstState + 1;

}  // namespace

SlowMo::SlowMo(std::int64_t local_steps, double alpha, double beta)
    : RoundAlgorithm(
          {.name = "slowmo",
           .mixing_needs = MixingNeeds::kNone,
           .state = {"start", "slow_momentum"}},
          {.before = {combine(kStart, {{kModel, 1.0}})},
           .local = {evaluate(), local_update()},
           .after = {mean(kModel),
                     combine(kMomentum, {{kMomentum, beta},
                                         {kStart, 1.0, Scale::kPerRate},
                                         {kModel, -1.0, Scale::kPerRate}}),
                     combine(kModel, {{kStart, 1.0}, {kMomentum, -alpha, Scale::kRate}})}},
          local_steps) {
  check_range("slow_rate", alpha, std::numeric_limits<double>::min(),
              std::numeric_limits<double>::infinity());
  check_range("slow_momentum", beta, 0.0, 1.0);
}

}  // namespace gossip::algorithm
