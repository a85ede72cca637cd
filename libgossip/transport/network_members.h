// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Which ranks of a network a group has.

#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/mpi/communicator.h>

namespace gossip::transport {

/// The ranks of one group, and their numbers in the network that all groups of a process share.
///
/// Collective: construction and destruction. Threads: const member functions may run at the same
/// time, but for the communicator's.
class NetworkMembers {
 public:
  /// `own`: this process's number in a network of `network_size`. Takes the communicator over.
  NetworkMembers(mpi::Communicator communicator, Rank own, int network_size);

  /// Of the group, for what its ranks do together.
  [[nodiscard]] const mpi::Communicator& communicator() const noexcept { return communicator_; }

  [[nodiscard]] Rank in_network(Rank rank) const {
    return in_network_[static_cast<std::size_t>(rank)];
  }

  /// The group's number of the network's rank `rank`, which is one of its members.
  [[nodiscard]] Rank in_group(Rank rank) const { return in_group_[static_cast<std::size_t>(rank)]; }

 private:
  mpi::Communicator communicator_;
  std::vector<Rank> in_network_;  // by the group's rank
  std::vector<Rank> in_group_;    // by the network's rank; -1 for those who are no members
};

}  // namespace gossip::transport
