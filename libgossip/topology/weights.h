// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Mixing weights for a graph.

#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/topology/graph.h>
#include <libgossip/topology/mixing_matrix.h>

namespace gossip::topology {

/// \f$ W_{ij} = 1 / (1 + \max(\deg i, \deg j)) \f$ on the edges: symmetric, doubly stochastic, and
/// each rank needs to know its neighbors' degrees only. Throws gossip::Error, naming an arc without
/// its opposite, unless the graph is undirected. (Xiao, Boyd, Lall 2005.)
[[nodiscard]] MixingMatrix metropolis(const Graph& graph);

/// \f$ W = I - L / (1 + \deg_{max}) \f$ with the Laplacian L: the same weight on every edge.
/// Symmetric, doubly stochastic. Throws as metropolis().
[[nodiscard]] MixingMatrix max_degree_weights(const Graph& graph);

/// \f$ W = I - \alpha L \f$: the weight `edge_weight` on every edge. Symmetric, rows and columns
/// sum to 1; self weights turn negative when `edge_weight` exceeds 1 / max degree. Throws as
/// metropolis().
[[nodiscard]] MixingMatrix constant_edge_weights(const Graph& graph, double edge_weight);

/// \f$ W = I - L / \lambda_{max}(L) \f$: constant weights as large as they can be while no
/// eigenvalue is negative; the smallest is 0, the second largest \f$ 1 - 1/\chi \f$ (see
/// LaplacianSpectrum). No self weight is negative. Of cubic cost. The graph must be undirected,
/// connected, and have at least 2 ranks.
[[nodiscard]] MixingMatrix spectral_weights(const Graph& graph);

/// Every receiver takes the plain average of itself and its in-neighbors: 1 / (1 + in-degree).
/// Row stochastic on any graph; doubly stochastic when in- and out-degrees are all the same.
[[nodiscard]] MixingMatrix uniform_in_degree(const Graph& graph);

/// Every sender splits its value evenly among itself and its out-neighbors: 1 / (1 + out-degree).
/// Column stochastic on any graph: what push-sum needs.
[[nodiscard]] MixingMatrix uniform_out_degree(const Graph& graph);

/// Every rank of a group takes the plain average of the group; ranks of no group keep their own.
/// Throws gossip::Error for a rank outside 0..size-1 or in two groups.
[[nodiscard]] MixingMatrix average_within(int size, const std::vector<std::vector<Rank>>& groups);

/// (I + W) / 2: slower, but without negative eigenvalues when W is symmetric and stochastic.
[[nodiscard]] MixingMatrix lazy(const MixingMatrix& matrix);

}  // namespace gossip::topology
