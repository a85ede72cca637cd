// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file The all-reduces that gossip is compared with between hosts.

#include <span>
#include <vector>

#include <libgossip/mpi/communicator.h>
#include <libgossip/transport/group.h>

#include "measure.h"

namespace gossip::bench {

/// Ways to write the sum of `source` over the ranks to `sum`: MPI's own, blocking and not (out of
/// place, for which Open MPI has the better algorithms), and ring all-reduces (reduce-scatter and
/// all-gather) of our own. The arguments must outlive the result; all ranks run the same in the
/// same order. All were checked once, and left both vectors zero. Collective.
[[nodiscard]] std::vector<Contender> all_reduces(transport::Group& group,
                                                 const mpi::Communicator& communicator,
                                                 std::span<float> source, std::span<float> sum);

}  // namespace gossip::bench
