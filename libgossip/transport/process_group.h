// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The group whose ranks are MPI processes.

#include <memory>

#include <libgossip/transport/group.h>

namespace gossip::mpi {
class Communicator;
}

namespace gossip::transport {

/// The processes of `communicator`, which is taken over. Channels and regions are shared memory
/// (shared/), so they need all ranks on one host, and otherwise throw gossip::Error naming the
/// hosts; the collective calls work everywhere.
[[nodiscard]] std::unique_ptr<Group> make_process_group(mpi::Communicator communicator);

}  // namespace gossip::transport
