// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/extra.h>

namespace gossip::algorithm {
namespace {

constexpr int kMixed = kFirstState;
constexpr int kDual = kFirstState + 1;

}  // namespace

EXTRA::EXTRA()
    : Algorithm({.name = "extra",
                 .mixing_needs = MixingNeeds::kSymmetric,
                 .state = {"mixed", "dual"},
                 .kinds = {{evaluate(), combine(kMixed, {{kModel, 1.0}}), mix({kMixed}),
                            // Y already has (X - W X) / 2 added, and X must lose the old one.
                            combine(kDual, {{kDual, 1.0}, {kModel, 0.5}, {kMixed, -0.5}}),
                            combine(kModel, {{kModel, 0.5}, {kMixed, 0.5}, {kDual, -1.0}}),
                            local_update()}}}) {}

}  // namespace gossip::algorithm
