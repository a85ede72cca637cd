// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/engine/plain_port.h>

namespace gossip::engine {

PlainPort::PlainPort(std::vector<VectorView> model, std::vector<VectorView> gradient,
                     std::function<void()> local_update, std::function<double()> rate)
    : model_(std::move(model)),
      gradient_(std::move(gradient)),
      local_update_(std::move(local_update)),
      rate_(std::move(rate)) {
  for (std::size_t v = 0; v < gradient_.size(); ++v) pieces_.push_back({v, 0, gradient_[v]});
}

void PlainPort::local_update_along(const std::vector<VectorView>& direction) {
  GOSSIP_ASSERT(direction.size() == gradient_.size(), "a direction has {} vectors, the gradient {}",
                direction.size(), gradient_.size());
  for (std::size_t v = 0; v < direction.size(); ++v) {
    if (direction[v].size == 0 || direction[v].data == gradient_[v].data) continue;
    std::memcpy(gradient_[v].data, direction[v].data, direction[v].bytes());
  }
  local_update_();
}

double PlainPort::learning_rate() {
  GOSSIP_CHECK(rate_, "The method needs the learning rate, but the port was made without.");
  return rate_();
}

}  // namespace gossip::engine
