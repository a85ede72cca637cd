// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/lsgt.h>

namespace gossip::algorithm {
namespace {

constexpr int kTracker = kFirstState;
constexpr int kStartGradient = kFirstState + 1;

}  // namespace

LSGT::LSGT(std::int64_t local_steps)
    : RoundAlgorithm(
          {.name = "lsgt", .state = {"tracker", "start_gradient"}},
          {.first = {evaluate(),
                     combine(kTracker, {{kTracker, 1.0}, {kGradient, 1.0}, {kStartGradient, -1.0}}),
                     combine(kStartGradient, {{kGradient, 1.0}}),
                     combine(kGradient, {{kTracker, 1.0}}), local_update()},
           .local = {evaluate(),
                     combine(kGradient,
                             {{kGradient, 1.0}, {kStartGradient, -1.0}, {kTracker, 1.0}}),
                     local_update()},
           .after = {mix({kModel, kTracker})}},
          local_steps) {}

}  // namespace gossip::algorithm
