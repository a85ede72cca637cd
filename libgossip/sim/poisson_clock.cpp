// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/sim/poisson_clock.h>

namespace gossip::sim {

namespace {

void check_rate(double rate) {
  GOSSIP_CHECK(rate >= 0.0 && std::isfinite(rate),
               "The rate of gradients is {}: it must be a number of at least 0.", rate);
}

bool are_equal(const std::vector<double>& rates) {
  return std::all_of(rates.begin(), rates.end(), [&](double r) { return r == rates.front(); });
}

}  // namespace

PoissonClock::PoissonClock(int size, const std::vector<topology::EdgeIntensity>& edges,
                           double gradient_rate, std::uint64_t seed)
    : size_(size),
      gradient_rate_(gradient_rate),
      gradients_(size * gradient_rate),
      generator_(seed) {
  check_rate(gradient_rate);
  set_edges(edges);
}

PoissonClock::PoissonClock(int size, const std::vector<topology::EdgeIntensity>& edges,
                           std::vector<double> gradient_rates, std::uint64_t seed)
    : size_(size), gradient_rate_(0.0), gradients_(0.0), generator_(seed) {
  GOSSIP_CHECK(!gradient_rates.empty() && std::cmp_equal(gradient_rates.size(), size),
               "{} rates of gradients were given for {} workers.", gradient_rates.size(), size);
  for (const double rate : gradient_rates) check_rate(rate);
  if (are_equal(gradient_rates)) {
    gradient_rate_ = gradient_rates.front();
    gradients_ = size * gradient_rate_;
  } else {
    cumulated_gradients_ = std::move(gradient_rates);
    std::partial_sum(cumulated_gradients_.begin(), cumulated_gradients_.end(),
                     cumulated_gradients_.begin());
    gradients_ = cumulated_gradients_.back();
  }
  set_edges(edges);
}

void PoissonClock::set_edges(const std::vector<topology::EdgeIntensity>& edges) {
  std::vector<double> cumulated;
  double sum = 0.0;
  for (const topology::EdgeIntensity& edge : edges) {
    GOSSIP_CHECK(edge.a >= 0 && edge.a < size_ && edge.b >= 0 && edge.b < size_ && edge.a != edge.b,
                 "Edge {} - {} does not join two of the workers 0..{}.", edge.a, edge.b, size_ - 1);
    GOSSIP_CHECK(edge.intensity > 0.0 && std::isfinite(edge.intensity),
                 "Edge {} - {} has the intensity {}: it must be a positive number.", edge.a, edge.b,
                 edge.intensity);
    sum += edge.intensity;
    cumulated.push_back(sum);
  }
  GOSSIP_CHECK(gradients_ + sum > 0.0,
               "There are no edges and no gradients: nothing would ever happen.");
  edges_ = edges;
  cumulated_ = std::move(cumulated);
  total_ = gradients_ + sum;
}

void PoissonClock::change_edges(double time, const std::vector<topology::EdgeIntensity>& edges) {
  GOSSIP_CHECK(time >= changed_, "The edges change at {}, but they were changed at {} before.",
               time, changed_);
  set_edges(edges);
  changed_ = time;
  time_ = time;
}

Rank PoissonClock::worker_at(double position) const {
  if (cumulated_gradients_.empty()) {
    return std::min(static_cast<int>(position / gradient_rate_), size_ - 1);
  }
  const auto begin = cumulated_gradients_.begin();
  return static_cast<Rank>(std::upper_bound(begin, cumulated_gradients_.end() - 1, position) -
                           begin);
}

Event PoissonClock::next() {
  const double first = generator_.unit();
  const double second = generator_.unit();
  time_ += -std::log1p(-first) / total_;
  double position = second * total_;
  if (position < gradients_) return {time_, worker_at(position), Event::kNobody};
  if (edges_.empty()) return {time_, size_ - 1, Event::kNobody};  // rounding
  position -= gradients_;
  const auto found = std::upper_bound(cumulated_.begin(), cumulated_.end() - 1, position);
  const auto& edge = edges_[static_cast<std::size_t>(found - cumulated_.begin())];
  return {time_, edge.a, edge.b};
}

}  // namespace gossip::sim
