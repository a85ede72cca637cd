// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <libgossip/algorithm/a2cid2.h>
#include <libgossip/base/error.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/topology/spectral.h>

namespace gossip::algorithm {
namespace {

bool is_positive(double value) { return value > 0.0 && std::isfinite(value); }

}  // namespace

A2CiD2Constants a2cid2_constants(double chi1, double chi2, double eta_factor) {
  GOSSIP_CHECK(
      is_positive(chi1) && is_positive(chi2),
      "A2CiD2 cannot take its constants from chi1 = {} and chi2 = {}: both must be positive "
      "numbers.",
      chi1, chi2);
  GOSSIP_CHECK(is_positive(eta_factor), "The factor on eta is {}: it must be a positive number.",
               eta_factor);
  return {.eta = eta_factor / (2.0 * std::sqrt(chi1 * chi2)),
          .alpha = 0.5,
          .alpha_tilde = 0.5 * std::sqrt(chi1 / chi2)};
}

A2CiD2Constants a2cid2_constants(const topology::Graph& graph, double rate, double eta_factor) {
  GOSSIP_CHECK(
      is_positive(rate),
      "The rate of pair events is {} per worker and gradient: it must be a positive number.", rate);
  if (graph.size() == 1) return {};
  const topology::Chi chi = topology::chi_per_worker(graph);
  return a2cid2_constants(chi.chi1 / rate, chi.chi2 / rate, eta_factor);
}

A2CiD2::A2CiD2(const A2CiD2Constants& constants) : constants_(constants) {
  GOSSIP_CHECK(constants.eta >= 0.0 && std::isfinite(constants.eta),
               "eta is {}: it must be a number of at least 0.", constants.eta);
  GOSSIP_CHECK(is_positive(constants.alpha), "alpha is {}: it must be a positive number.",
               constants.alpha);
  GOSSIP_CHECK(is_positive(constants.alpha_tilde),
               "alpha_tilde is {}: it must be a positive number.", constants.alpha_tilde);
}

void A2CiD2::flow(State state, double elapsed) const {
  if (constants_.eta == 0.0 || elapsed == 0.0) return;
  // The flow is a pair event between the worker's own two vectors.
  const double moved = -0.5 * std::expm1(-2.0 * constants_.eta * elapsed);
  visit(state[0],
        [&]<class T>(std::span<T> x) { kernels::pair_event(x, state[1].as<T>(), moved); });
}

void A2CiD2::jump(State state, const VectorView& difference, double sign) const {
  visit(state[0], [&]<class T>(std::span<T> x) {
    kernels::add_to_both(std::span<const T>(difference.as<T>()), -sign * constants_.alpha, x,
                         -sign * constants_.alpha_tilde, state[1].as<T>());
  });
}

}  // namespace gossip::algorithm
