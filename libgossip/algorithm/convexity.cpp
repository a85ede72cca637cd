// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <libgossip/algorithm/convexity.h>
#include <libgossip/base/error.h>

namespace gossip::algorithm {

void check_convexity(double mu, double smoothness) {
  GOSSIP_CHECK(
      mu > 0.0 && std::isfinite(mu),
      "mu is {}: the losses must be strongly convex, with a positive number. Others need a "
      "regularizer (weight decay), or another method, such as A2CiD2.",
      mu);
  GOSSIP_CHECK(smoothness >= mu && std::isfinite(smoothness),
               "L is {} and mu is {}: L must be a number of at least mu.", smoothness, mu);
}

void check_chi(double chi) {
  GOSSIP_CHECK(chi >= 1.0 && std::isfinite(chi),
               "chi is {}: the ratio of the largest to the smallest positive eigenvalue of a "
               "connected graph's Laplacian is a number of at least 1.",
               chi);
}

}  // namespace gossip::algorithm
