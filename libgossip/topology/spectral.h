// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How fast a topology averages. J denotes the matrix of all 1/n. Everything here is dense, of
/// cubic cost in the number of ranks: for checks, tables and parameters, not for every step.

#include <cstdint>
#include <optional>
#include <vector>

#include <libgossip/topology/graph.h>
#include <libgossip/topology/schedule.h>

namespace gossip::topology {

/// Constants of one mixing matrix W. They say something about averaging when rows and columns of W
/// sum to 1.
struct SpectralConstants {
  /// |W - J|_2, the largest singular value: the consensus distance shrinks by it in each round.
  double rho;
  /// 1 - rho.
  double gap;
  /// 1 - rho^2: \f$ |WX - JX|^2 \le (1 - p) |X - JX|^2 \f$.
  double p;
  /// Second largest modulus of an eigenvalue: the asymptotic rate.
  double lambda2_abs;
  /// Second largest eigenvalue (0 for one rank). Symmetric W only.
  std::optional<double> lambda2;
  /// Smallest eigenvalue. Symmetric W only. D2 needs it above -1/3.
  std::optional<double> lambda_min;
};

[[nodiscard]] SpectralConstants spectral_constants(const MixingMatrix& matrix);

/// |P_{m-1} ... P_0 - J|_2 for the first m = `rounds` matrices of the schedule: the factor by which
/// these rounds shrink the consensus distance at least. 0 is an exact average.
[[nodiscard]] double product_norm(const Schedule& schedule, std::int64_t rounds);

/// product_norm() over one period. Throws gossip::Error for a schedule that never repeats.
[[nodiscard]] double contraction_over_period(const Schedule& schedule);

/// The largest p with \f$ E|WX - JX|^2 \le (1 - p) |X - JX|^2 \f$ when W is drawn uniformly from
/// the first `rounds` matrices: exact over a period, an estimate for a random schedule.
[[nodiscard]] double mean_square_contraction(const Schedule& schedule, std::int64_t rounds);

/// An undirected edge whose two ends average at the times of a Poisson process.
struct EdgeIntensity {
  Rank a;
  Rank b;
  /// Events per unit of time.
  double intensity;
};

/// The two constants that asynchronous methods take their parameters from, for the Laplacian
/// \f$ \Lambda = \sum_e \lambda_e (e_a - e_b)(e_a - e_b)^T \f$ of the edge intensities. Scaling all
/// intensities by s divides both by s.
struct Chi {
  /// 1 / (smallest positive eigenvalue of the Laplacian).
  double chi1;
  /// Half of the largest effective resistance over the edges; never above chi1.
  double chi2;
};

/// Chi for given intensities; those of one edge given twice add up. Throws gossip::Error for less
/// than 2 ranks, an intensity that is not positive, and edges that do not connect all ranks.
[[nodiscard]] Chi chi(int size, const std::vector<EdgeIntensity>& edges);

/// Chi when all edges have the same intensity and a rank takes part in one event per unit of time
/// (on average over the ranks, if degrees differ): n/2 events per unit of time in all. A2CiD2 uses
/// this. The graph must be undirected, connected, and have at least 2 ranks.
[[nodiscard]] Chi chi_per_worker(const Graph& graph);

/// Chi when every edge has the intensity 1 / (number of edges): one event per unit of time in all.
/// DADAO uses this. The graph must be undirected, connected, and have at least 2 ranks.
[[nodiscard]] Chi chi_edge_probability(const Graph& graph);

/// The effective resistance between the two ends of each edge when the intensities are
/// conductances: \f$ (e_a - e_b)^T \Lambda^+ (e_a - e_b) \f$, in the order of `edges`. The largest
/// is 2 chi2. Throws as chi().
[[nodiscard]] std::vector<double> effective_resistances(int size,
                                                        const std::vector<EdgeIntensity>& edges);

/// The ends of the spectrum of a graph's Laplacian, all edges of weight 1.
struct LaplacianSpectrum {
  /// The smallest positive eigenvalue.
  double lambda2;
  double lambda_max;

  /// lambda_max / lambda2: what synchronous methods count in, at least 1.
  [[nodiscard]] double chi() const noexcept { return lambda_max / lambda2; }
};

/// The graph must be undirected, connected, and have at least 2 ranks.
[[nodiscard]] LaplacianSpectrum laplacian_spectrum(const Graph& graph);

}  // namespace gossip::topology
