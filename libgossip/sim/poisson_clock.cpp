// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <libgossip/base/error.h>
#include <libgossip/sim/poisson_clock.h>

namespace gossip::sim {

PoissonClock::PoissonClock(int size, const std::vector<topology::EdgeIntensity>& edges,
                           double gradient_rate, std::uint64_t seed)
    : size_(size), gradient_rate_(gradient_rate), edges_(edges), generator_(seed) {
  GOSSIP_CHECK(gradient_rate >= 0.0 && std::isfinite(gradient_rate),
               "The rate of gradients is {}: it must be a number of at least 0.", gradient_rate);
  double sum = 0.0;
  for (const topology::EdgeIntensity& edge : edges) {
    GOSSIP_CHECK(edge.a >= 0 && edge.a < size && edge.b >= 0 && edge.b < size && edge.a != edge.b,
                 "Edge {} - {} does not join two of the workers 0..{}.", edge.a, edge.b, size - 1);
    GOSSIP_CHECK(edge.intensity > 0.0 && std::isfinite(edge.intensity),
                 "Edge {} - {} has the intensity {}: it must be a positive number.", edge.a, edge.b,
                 edge.intensity);
    sum += edge.intensity;
    cumulated_.push_back(sum);
  }
  total_ = size * gradient_rate + sum;
  GOSSIP_CHECK(total_ > 0.0, "There are no edges and no gradients: nothing would ever happen.");
}

Event PoissonClock::next() {
  const double first = generator_.unit();
  const double second = generator_.unit();
  time_ += -std::log1p(-first) / total_;
  double position = second * total_;
  const double gradients = size_ * gradient_rate_;
  if (position < gradients) {
    const int worker = std::min(static_cast<int>(position / gradient_rate_), size_ - 1);
    return {time_, worker, Event::kNobody};
  }
  if (edges_.empty()) return {time_, size_ - 1, Event::kNobody};  // rounding
  position -= gradients;
  const auto found = std::upper_bound(cumulated_.begin(), cumulated_.end() - 1, position);
  const auto& edge = edges_[static_cast<std::size_t>(found - cumulated_.begin())];
  return {time_, edge.a, edge.b};
}

}  // namespace gossip::sim
