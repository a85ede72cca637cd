// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Started operations of MPI that nobody waits for any more.

#include <memory>
#include <vector>

#include <mpi.h>

#include <libgossip/base/deadline.h>

namespace gossip::mpi {

/// Takes operations over that a lost rank keeps from finishing, with what keeps their buffers
/// alive: MPI may use those until the operations are over, at the latest until the process ends.
/// Local; does not block. Threads: any.
void abandon(std::vector<MPI_Request> operations,
             std::vector<std::shared_ptr<const void>> buffers) noexcept;

/// Drives all that was abandoned in this process, until it is over or the deadline has passed;
/// frees the buffers of what is over. Returns whether all is. Threads: any.
[[nodiscard]] bool finish_abandoned(const Deadline& deadline);

}  // namespace gossip::mpi
