// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/deep_squeeze.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {
namespace {

constexpr int kError = kFirstState;
constexpr int kMessage = kGradient;  // its memory is free after the update

}  // namespace

DeepSqueeze::DeepSqueeze(double consensus_rate)
    : Algorithm(
          {.name = "deep-squeeze",
           .state = {"error"},
           .kinds = {{evaluate(), local_update(), combine(kError, {{kModel, 1.0}, {kError, 1.0}}),
                      combine(kMessage, {{kError, 1.0}}), compress(kMessage),
                      combine(kError, {{kError, 1.0}, {kMessage, -1.0}}),
                      combine(kModel, {{kModel, 1.0}, {kMessage, -consensus_rate}}),
                      mix_compressed(kMessage),
                      combine(kModel, {{kModel, 1.0}, {kMessage, consensus_rate}})}}}) {
  GOSSIP_CHECK(consensus_rate > 0.0 && consensus_rate <= 1.0,
               "consensus_rate is {}: it must be above 0 and at most 1.", consensus_rate);
}

}  // namespace gossip::algorithm
