// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include <libgossip/algorithm/convexity.h>
#include <libgossip/base/error.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/sim/continuized_simulation.h>

namespace gossip::sim {

ContinuizedConstants continuized_constants(int size,
                                           const std::vector<topology::EdgeIntensity>& edges,
                                           double mu, double smoothness) {
  algorithm::check_convexity(mu, smoothness);
  const topology::Chi chi = topology::chi(size, edges);
  const double graph_mu = 1.0 / chi.chi1;
  const double resistance = 2.0 * chi.chi2;
  ContinuizedConstants constants;
  constants.eta = std::sqrt(graph_mu / resistance * mu / smoothness);
  constants.gamma = topology::effective_resistances(size, edges);
  for (double& gamma : constants.gamma) gamma *= mu / (2.0 * resistance);
  constants.gamma_tilde = std::sqrt(smoothness * mu / (2.0 * graph_mu * resistance));
  return constants;
}

ContinuizedSimulation::ContinuizedSimulation(int size,
                                             const std::vector<topology::EdgeIntensity>& edges,
                                             double mu, double smoothness, std::size_t num_elements)
    : num_elements_(num_elements), difference_(num_elements), other_(num_elements) {
  const ContinuizedConstants constants = continuized_constants(size, edges, mu, smoothness);
  eta_ = constants.eta;
  gamma_tilde_ = constants.gamma_tilde;
  for (std::size_t e = 0; e < edges.size(); ++e) {
    const auto [a, b] = std::minmax(edges[e].a, edges[e].b);
    edges_.push_back({a, b, constants.gamma[e]});
  }
  std::ranges::sort(edges_, {}, [](const Edge& edge) { return std::pair(edge.a, edge.b); });
  y_.resize(static_cast<std::size_t>(size) * num_elements);
  z_.resize(y_.size());
  times_.resize(static_cast<std::size_t>(size));
}

double ContinuizedSimulation::gamma_of(const Event& event) const {
  const std::pair<Rank, Rank> ends = std::minmax(event.worker, event.peer);
  const auto found = std::ranges::lower_bound(
      edges_, ends, {}, [](const Edge& edge) { return std::pair(edge.a, edge.b); });
  GOSSIP_CHECK(found != edges_.end() && std::pair(found->a, found->b) == ends,
               "The event at {} is of worker {} and {}: it must be a pair event along one of the "
               "edges. A clock of the same edges and without gradients would do.",
               event.time, event.worker, event.peer);
  return found->gamma;
}

void ContinuizedSimulation::play(const Event& event, const ConjugateGradient& gradient) {
  const double gamma = gamma_of(event);
  time_ = event.time;
  flow(event.worker);
  flow(event.peer);
  gradient(event.worker, row(y_, event.worker), difference_);
  gradient(event.peer, row(y_, event.peer), other_);
  kernels::axpby(-1.0, std::span<const double>(other_), 1.0, std::span<double>(difference_));
  jump(event.worker, gamma, -1.0);
  jump(event.peer, gamma, 1.0);
  ++events_;
}

/// As in algorithm::A2CiD2: a pair event between the worker's own two vectors.
void ContinuizedSimulation::flow(Rank worker) {
  double& last = times_[static_cast<std::size_t>(worker)];
  const double moved = -0.5 * std::expm1(-2.0 * eta_ * (time_ - last));
  kernels::pair_event(row(y_, worker), row(z_, worker), moved);
  last = time_;
}

void ContinuizedSimulation::jump(Rank worker, double gamma, double sign) {
  kernels::add_to_both(std::span<const double>(difference_), sign * gamma, row(y_, worker),
                       sign * gamma_tilde_, row(z_, worker));
}

void ContinuizedSimulation::synchronize() {
  for (Rank worker = 0; worker < size(); ++worker) flow(worker);
}

std::span<double> ContinuizedSimulation::row(std::vector<double>& vector, Rank worker) {
  return std::span(vector).subspan(static_cast<std::size_t>(worker) * num_elements_, num_elements_);
}

std::span<const double> ContinuizedSimulation::dual(Rank worker) const {
  return std::span(z_).subspan(static_cast<std::size_t>(worker) * num_elements_, num_elements_);
}

std::int64_t ContinuizedSimulation::bytes_sent() const noexcept {
  return 2 * events_ * static_cast<std::int64_t>(num_elements_ * sizeof(double));
}

}  // namespace gossip::sim
