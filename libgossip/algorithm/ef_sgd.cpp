// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/ef_sgd.h>

namespace gossip::algorithm {
namespace {

constexpr int kError = kFirstState;

}  // namespace

EFSGD::EFSGD()
    : Algorithm({.name = "ef-sgd",
                 .state = {"error"},
                 .kinds = {{evaluate(), combine(kError, {{kError, 1.0}, {kGradient, 1.0}}),
                            combine(kGradient, {{kError, 1.0}}), compress(kGradient),
                            combine(kError, {{kError, 1.0}, {kGradient, -1.0}}),
                            mix_compressed(kGradient), local_update()}}}) {}

}  // namespace gossip::algorithm
