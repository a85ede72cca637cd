// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>

#include <libgossip/algorithm/convexity.h>
#include <libgossip/algorithm/dadao.h>
#include <libgossip/base/error.h>
#include <libgossip/kernels/vector.h>

namespace gossip::algorithm {
namespace {

bool is_positive(double value) { return value > 0.0 && std::isfinite(value); }

/// Places of the six vectors in a state.
constexpr std::size_t kX = 0;
constexpr std::size_t kXTilde = 1;
constexpr std::size_t kY = 2;
constexpr std::size_t kYTilde = 3;
constexpr std::size_t kZ = 4;
constexpr std::size_t kZTilde = 5;

template <class T>
kernels::SixVectors<T> six(State state) {
  return {state[kX].as<T>(),      state[kXTilde].as<T>(), state[kY].as<T>(),
          state[kYTilde].as<T>(), state[kZ].as<T>(),      state[kZTilde].as<T>()};
}

}  // namespace

double dadao_least_rate(const topology::Chi& chi) { return std::sqrt(2.0 * chi.chi1 * chi.chi2); }

DADAOConstants dadao_constants(double mu, double lipschitz, const topology::Chi& chi, double rate) {
  check_convexity(mu, lipschitz);
  GOSSIP_CHECK(is_positive(chi.chi1) && is_positive(chi.chi2),
               "DADAO cannot take its constants from chi1 = {} and chi2 = {}: both must be "
               "positive numbers.",
               chi.chi1, chi.chi2);
  GOSSIP_CHECK(is_positive(rate),
               "The rate of pair events is {} per unit of time: it must be a positive number.",
               rate);
  const double nu = mu / 2.0;
  const double s = std::sqrt(nu / lipschitz);
  return {.mu = mu,
          .lipschitz = lipschitz,
          .chi1 = chi.chi1,
          .chi2 = chi.chi2,
          .rate = rate,
          .nu = nu,
          .s = s,
          .eta = s / 8.0,
          .alpha = s / 4.0,
          .alpha_tilde = s / 8.0,
          .theta = 1.0 / (2.0 * s),
          .gamma = 1.0 / (4.0 * lipschitz),
          .gamma_tilde = 1.0 / (4.0 * lipschitz * s),
          .delta = 1.0 + s / 4.0,
          .beta = 0.5,
          .beta_tilde = 2.0 * chi.chi1 / (rate * s)};
}

DADAOConstants dadao_constants(double mu, double lipschitz, const topology::Graph& graph,
                               double safety) {
  GOSSIP_CHECK(safety >= 1.0 && std::isfinite(safety),
               "The safety factor is {}: below 1 there are fewer pair events than DADAO needs, and "
               "it diverges. Take 2, or 1 where both halves of an event happen at once.",
               safety);
  if (graph.size() == 1) {
    DADAOConstants alone = dadao_constants(mu, lipschitz, {1.0, 1.0}, 1.0);
    alone.chi1 = alone.chi2 = alone.rate = alone.beta_tilde = 0.0;
    return alone;
  }
  const topology::Chi chi = topology::chi_edge_probability(graph);
  return dadao_constants(mu, lipschitz, chi, safety * dadao_least_rate(chi));
}

/// The closed form: z and x~ drive y and y~ with the rates 0, S = alpha + alpha~ and 2 eta; each
/// gives a particular solution, and the rest oscillates and decays with alpha / 2.
kernels::DADAOFlow DADAO::flow_of(double elapsed) const {
  const DADAOConstants& c = constants_;
  const double rate_z = c.alpha + c.alpha_tilde;
  const double decay_x = std::exp(-2.0 * c.eta * elapsed);
  const double decay_z = std::exp(-rate_z * elapsed);
  const double gone_z = -std::expm1(-rate_z * elapsed);
  const double a = c.alpha * c.theta;
  const double omega = std::sqrt(a - c.alpha * c.alpha / 4.0);
  const double decay = std::exp(-c.alpha * elapsed / 2.0);
  const double cosine = decay * std::cos(omega * elapsed);
  const double sine = decay * std::sin(omega * elapsed) / omega;
  const std::array free_y{cosine - c.alpha / 2.0 * sine, c.alpha * sine};
  const std::array free_y_tilde{-c.theta * sine, cosine + c.alpha / 2.0 * sine};

  kernels::DADAOFlow flow{.x = -0.5 * std::expm1(-2.0 * c.eta * elapsed),
                          .z = c.alpha / rate_z * gone_z,
                          .z_tilde = c.alpha_tilde / rate_z * gone_z,
                          .y = {0, 0, free_y[0], free_y[1], 0, 0},
                          .y_tilde = {0, 0, free_y_tilde[0], free_y_tilde[1], 0, 0}};
  // What one unit of a vector adds to the constant, the S and the 2 eta part of z + nu x~.
  const auto drive = [&](std::size_t vector, double constant, double with_z, double with_x) {
    const double slow = with_z / (1.0 + 3.0 * c.s * c.s / 8.0);
    const double y_start = -constant - slow - with_x;
    const double y_tilde_start = -constant + slow / 2.0;
    flow.y[vector] = -constant - slow * decay_z - with_x * decay_x -
                     (free_y[0] * y_start + free_y[1] * y_tilde_start);
    flow.y_tilde[vector] = -constant + slow / 2.0 * decay_z -
                           (free_y_tilde[0] * y_start + free_y_tilde[1] * y_tilde_start);
  };
  drive(kX, c.nu / 2.0, 0.0, -c.nu / 2.0);
  drive(kXTilde, c.nu / 2.0, 0.0, c.nu / 2.0);
  drive(kZ, c.alpha_tilde / rate_z, c.alpha / rate_z, 0.0);
  drive(kZTilde, c.alpha / rate_z, -c.alpha / rate_z, 0.0);
  return flow;
}

void DADAO::flow(State state, double elapsed) const {
  if (elapsed == 0.0) return;
  const kernels::DADAOFlow map = flow_of(elapsed);
  visit(state[kX], [&]<class T>(std::span<T>) { kernels::flow(six<T>(state), map); });
}

void DADAO::write_payload(State state, const VectorView& out) const {
  visit(out, [&]<class T>(std::span<T> values) {
    kernels::sum(values, std::span<const T>(state[kY].as<T>()),
                 std::span<const T>(state[kZ].as<T>()));
  });
}

void DADAO::jump(State state, const VectorView& difference, double sign) const {
  visit(difference, [&]<class T>(std::span<T> m) {
    kernels::add_to_both(std::span<const T>(m), -sign * constants_.beta, state[kZ].as<T>(),
                         -sign * constants_.beta_tilde, state[kZTilde].as<T>());
  });
}

double DADAO::gradient_event(State state, const VectorView& gradient) const {
  return visit(gradient, [&]<class T>(std::span<T> g) {
    return kernels::gradient_event(six<T>(state), std::span<const T>(g), constants_.nu,
                                   constants_.gamma, constants_.gamma_tilde, constants_.delta);
  });
}

void DivergenceGuard::check(double squares, const DADAO& method, double events_over_planned) {
  constexpr double kMostGrowth = 1e9;
  const DADAOConstants& c = method.constants();
  // Until the graph has told this worker of the others.
  const double steps = std::max(16.0, 8.0 / c.s);
  const std::int64_t step = steps_++;
  const bool is_number = std::isfinite(squares);
  if (is_number && static_cast<double>(step - begin_) < steps) {
    largest_ = std::max(largest_, squares);
    return;
  }
  if (is_number && squares <= kMostGrowth * largest_) return;
  if (is_number && !has_grown_) {
    has_grown_ = true;
    begin_ = step;
    largest_ = squares;
    return;
  }
  throw Error(
      fmt::format("DADAO diverges: |q|^2 is {:.3g} at step {} after at most {:.3g} from step {} "
                  "on. Pair events "
                  "per unit of time in all: {:.4g} planned, {:.4g} achieved, {:.4g} needed. Are mu "
                  "= {} and L = "
                  "{} those of every worker's function? More events are a larger safety factor.",
                  squares, step, largest_, begin_, c.rate, events_over_planned * c.rate,
                  dadao_least_rate({c.chi1, c.chi2}), c.mu, c.lipschitz));
}

}  // namespace gossip::algorithm
