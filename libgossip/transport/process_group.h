// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The group whose ranks are MPI processes.

#include <memory>

#include <libgossip/transport/group.h>
#include <libgossip/transport/transport_options.h>

namespace gossip::mpi {
class Communicator;
}

namespace gossip::transport {

/// The processes of `communicator`, which is taken over. Inside a host channels are shared memory
/// (shared/); between hosts they use rma/ or message/, chosen when the first one is made.
/// Collective. Throws JointError for TransportKind::kShared and ranks on several hosts.
///
/// While an optimizer trains it belongs inside its paused(): the calls of MPI that it makes have no
/// deadline, and a process that is in one serves no other between hosts.
[[nodiscard]] std::unique_ptr<Group> make_process_group(mpi::Communicator communicator,
                                                        const TransportOptions& options = {});

}  // namespace gossip::transport
