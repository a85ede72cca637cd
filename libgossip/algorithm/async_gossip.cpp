// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <libgossip/algorithm/async_gossip.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {

AsyncGossip::AsyncGossip(double exponent) : exponent_(exponent) {
  GOSSIP_CHECK(exponent >= 0.0 && std::isfinite(exponent),
               "The staleness exponent is {}: it must be a number of at least 0.", exponent);
}

double AsyncGossip::weight(double mixing_weight, std::int64_t staleness) const {
  GOSSIP_CHECK(staleness >= 0, "The staleness is {} steps: it must be at least 0.", staleness);
  return mixing_weight * std::pow(1.0 + static_cast<double>(staleness), -exponent_);
}

}  // namespace gossip::algorithm
