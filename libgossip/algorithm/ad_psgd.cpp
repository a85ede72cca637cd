// SPDX-License-Identifier: Apache-2.0
#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/kernels/vector.h>

namespace gossip::algorithm {

void ADPSGD::flow(State /*state*/, double /*elapsed*/) const {}

void ADPSGD::jump(State state, const VectorView& difference, double sign) const {
  visit(state[0], [&]<class T>(std::span<T> x) {
    kernels::axpby(-0.5 * sign, std::span<const T>(difference.as<T>()), 1.0, x);
  });
}

}  // namespace gossip::algorithm
