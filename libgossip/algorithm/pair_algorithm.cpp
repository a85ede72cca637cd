// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include <libgossip/algorithm/pair_algorithm.h>
#include <libgossip/kernels/vector.h>

namespace gossip::algorithm {

void PairAlgorithm::write_payload(State state, const VectorView& out) const {
  std::memcpy(out.data, state[0].data, out.bytes());
}

void PairAlgorithm::local_step(State state, const VectorView& local) const {
  for (const VectorView& vector : state) {
    visit(vector, [&]<class T>(std::span<T> values) {
      kernels::axpby(1.0, std::span<const T>(local.as<T>()), 1.0, values);
    });
  }
}

}  // namespace gossip::algorithm
