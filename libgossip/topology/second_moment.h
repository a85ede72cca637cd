// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How fast pair events at the times of Poisson processes average, exactly: the equation of the
/// second moments, which no simulation error touches. Dense; seconds for 64 ranks. For checks,
/// tables and choices of a topology, not for every step.

#include <span>
#include <vector>

#include <libgossip/topology/graph.h>
#include <libgossip/topology/spectral.h>

namespace gossip::topology {

/// The edges of an undirected graph in the order of (a, b), a < b, with one intensity for all, such
/// that a rank takes part in `rate` events per unit of time (on average over the ranks, if degrees
/// differ): rate * n / 2 events per unit of time in all. None for one rank.
/// Throws gossip::Error for a directed graph and a rate that is not a positive number.
[[nodiscard]] std::vector<EdgeIntensity> equal_intensities(const Graph& graph, double rate = 1.0);

/// What pair gossip does to a number x of each rank and its companion x~. Between events
/// \f$ \dot x = \eta (\tilde x - x),\ \dot{\tilde x} = \eta (x - \tilde x) \f$; an event of i and
/// j with \f$ m = x_i - x_j \f$ moves \f$ \alpha m \f$ from x_i to x_j and \f$ \tilde\alpha m \f$
/// from x~_i to x~_j. The default is plain averaging of pairs.
struct PairDynamics {
  double eta = 0.0;
  double alpha = 0.5;
  double alpha_tilde = 0.5;
};

/// The r of \f$ E|\pi x_t|^2 \sim e^{-r t} \f$, \f$ \pi = I - J \f$: minus the rightmost eigenvalue
/// of \f$ S \mapsto M S + S M^T + \sum_e \lambda_e (v_e^T S v_e) u_e u_e^T \f$ on the second
/// moments of (x, x~), where an event of e is \f$ I - u_e v_e^T \f$ and M generates the mean.
/// Negative when the second moments grow. Relative error about 1e-12.
///
/// Throws gossip::Error as chi() does.
[[nodiscard]] double mean_square_rate(int size, const std::vector<EdgeIntensity>& edges,
                                      const PairDynamics& dynamics = {});

/// \f$ E|\pi x_t|^2 \f$ at each of `times` (not decreasing, from 0 on), when x and x~ start at
/// `start`, one number a rank. Relative error about 1e-10.
///
/// Throws gossip::Error as chi() does, and for times that decrease.
[[nodiscard]] std::vector<double> mean_square_distances(std::span<const double> start,
                                                        const std::vector<EdgeIntensity>& edges,
                                                        const PairDynamics& dynamics,
                                                        std::span<const double> times);

/// The limit of \f$ \frac1n E|\pi x_t|^2 \f$ when every rank adds noise of mean 0 and variance 1,
/// the same to x and x~, at the times of a Poisson process of rate 1: what gradient noise costs in
/// consensus, in units of (step size)^2 times (variance of the gradients).
///
/// Throws gossip::Error as chi() does, and when the second moments grow.
[[nodiscard]] double stationary_noise(int size, const std::vector<EdgeIntensity>& edges,
                                      const PairDynamics& dynamics = {});

}  // namespace gossip::topology
