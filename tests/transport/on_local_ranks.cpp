// SPDX-License-Identifier: Apache-2.0
#include <libgossip/transport/local/cluster.h>

#include "support/thread_ranks.h"
#include "transport/on_ranks.h"

namespace gossip::test {

std::vector<int> rank_counts() { return {1, 2, 3, 4, 5}; }

void on_ranks(int size, const std::function<void(transport::Group&)>& body) {
  const transport::local::Cluster cluster(size, std::chrono::seconds(40));
  run_ranks(size, [&](int rank) { body(*cluster.group(rank)); });
}

}  // namespace gossip::test
