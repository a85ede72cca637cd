// SPDX-License-Identifier: Apache-2.0
#include <libgossip/transport/group.h>

namespace gossip::transport {

bool is_one_host(const Group& group) {
  for (Rank rank = 0; rank < group.size(); ++rank) {
    if (!group.shares_memory_with(rank)) return false;
  }
  return true;
}

void average_(Group& group, const VectorView& vector) {
  const std::unique_ptr<Mean> mean = group.make_mean(vector, std::chrono::minutes(5));
  mean->start();
  mean->wait();
}

double mean_of(Group& group, double value) {
  average_(group, std::span<double>(&value, 1));
  return value;
}

}  // namespace gossip::transport
