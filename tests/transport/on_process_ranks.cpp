// SPDX-License-Identifier: Apache-2.0
#include <mpi.h>

#include <libgossip/mpi/communicator.h>
#include <libgossip/transport/process_group.h>

#include "transport/on_ranks.h"

namespace gossip::test {

std::vector<int> rank_counts() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return {size};
}

// GOSSIP_TRANSPORT and GOSSIP_RANKS_PER_MEMORY choose among shared memory, messages and puts.
void on_ranks(int /*size*/, const std::function<void(transport::Group&)>& body) {
  body(*transport::make_process_group(mpi::Communicator::duplicate(MPI_COMM_WORLD),
                                      transport::transport_options_from_environment()));
}

}  // namespace gossip::test
