// SPDX-License-Identifier: Apache-2.0
#include <libgossip/transport/group.h>

namespace gossip::transport {

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
