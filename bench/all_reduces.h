// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file The all-reduces that gossip is compared with between hosts.

#include <span>
#include <vector>

#include <libgossip/mpi/communicator.h>

#include "measure.h"

namespace gossip::bench {

/// Ways to replace `vector` by its sum over the ranks, by name: MPI's own, blocking and not, and
/// ring all-reduces (reduce-scatter and all-gather) of our own. Both arguments must outlive the
/// result; all ranks run the same in the same order. All were checked once. Collective.
[[nodiscard]] std::vector<Contender> all_reduces(const mpi::Communicator& communicator,
                                                 std::span<float> vector);

}  // namespace gossip::bench
