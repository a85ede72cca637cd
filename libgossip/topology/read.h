// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Topologies from files.

#include <istream>
#include <optional>
#include <string>

#include <libgossip/topology/graph.h>
#include <libgossip/topology/mixing_matrix.h>
#include <libgossip/topology/schedule.h>

namespace gossip::topology {

/// What a topology file holds: a graph and, if the file gives weights, a mixing matrix on it.
struct TopologyFile {
  Graph graph;
  std::optional<MixingMatrix> matrix;

  /// The matrix, or the graph with its default weights, under the graph's name.
  [[nodiscard]] Schedule schedule() const;
};

/// Reads a list of edges or a dense mixing matrix. Empty lines and what follows a '#' do not count.
///
///     n 4            # number of ranks; default: the largest rank that occurs, plus 1
///     directed       # an edge "i j" leads from i to j only; default: both ways
///     0 1 1/4        # one edge a line: i j, or i j weight on every line; 0.25 or 1/4
///     2 2 1/2        # self weight, in weighted lists; default: what the row lacks to 1
///
/// or
///
///     matrix         # one row a line: the weights that one receiver gives to all senders
///     1/2 1/2
///     1/2 1/2
///
/// Weights must be positive and make the matrix row or column stochastic.
/// Throws gossip::Error naming file and line.
[[nodiscard]] TopologyFile read_topology(const std::string& path);

/// The same from a stream. `name` stands for the file in messages and names the graph.
[[nodiscard]] TopologyFile read_topology(std::istream& stream, const std::string& name);

}  // namespace gossip::topology
