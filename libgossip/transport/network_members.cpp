// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/transport/network_members.h>

namespace gossip::transport {

NetworkMembers::NetworkMembers(mpi::Communicator communicator, Rank own, int network_size)
    : communicator_(std::move(communicator)),
      in_network_(communicator_.all_gather(own)),
      in_group_(static_cast<std::size_t>(network_size), -1) {
  for (Rank rank = 0; rank < communicator_.size(); ++rank) {
    in_group_[static_cast<std::size_t>(in_network(rank))] = rank;
  }
}

}  // namespace gossip::transport
