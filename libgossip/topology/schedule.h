// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Who talks to whom in which round, and with which mixing weights.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/topology/graph.h>
#include <libgossip/topology/mixing_matrix.h>

namespace gossip::topology {

/// One round as one rank sees it. With the round's mixing matrix W (W[i][j]: the weight that
/// receiver i gives to sender j) and own rank i: `self_weight` = W[i][i], `in` lists the senders j
/// with W[i][j], `out` the receivers j with W[j][i]. Both lists are sorted by rank and do not hold
/// the own rank.
struct Neighborhood {
  double self_weight = 1.0;
  std::vector<Neighbor> in;
  std::vector<Neighbor> out;
};

/// A sequence of mixing matrices: a pure function of (round, rank), the same on every rank without
/// negotiation. A graph or a matrix converts to the schedule that repeats it. Cheap to copy;
/// immutable.
///
/// Threads: const member functions may run at the same time.
class Schedule {
 public:
  /// Writes what `rank` does in `round` into `result`, reusing its memory.
  using NeighborhoodFunction =
      std::function<void(std::int64_t round, Rank rank, Neighborhood& result)>;

  /// Repeats `matrix` in every round.
  Schedule(MixingMatrix matrix,  // NOLINT(google-explicit-constructor)
           std::string name = "matrix");

  /// Repeats the graph with its default weights (Metropolis for an undirected graph, uniform
  /// in-degree otherwise) under the graph's name.
  Schedule(const Graph& graph);  // NOLINT(google-explicit-constructor)

  /// Round k uses `matrices[k mod matrices.size()]`. Throws gossip::Error when they are none or
  /// differ in size.
  Schedule(std::string name, std::vector<MixingMatrix> matrices);

  /// Round k uses what `neighborhood_of` writes for each rank; it repeats after `period` rounds, or
  /// never when `period` is 0. `neighborhood_of` must be pure, callable from several threads at the
  /// same time, and leave `result` as Neighborhood describes. `most_neighbors`: how many in- or
  /// out-neighbors a rank has at most, in any round; without it all others, and a schedule that
  /// never repeats then takes memory between hosts for as many.
  Schedule(std::string name, int size, int period, NeighborhoodFunction neighborhood_of,
           std::optional<int> most_neighbors = {});

  /// Name for logs and results, such as "one-peer-exponential".
  [[nodiscard]] const std::string& name() const noexcept;

  /// Number of ranks.
  [[nodiscard]] int size() const noexcept;

  /// Rounds after which the sequence repeats: 1 for a static topology, 0 for one that never
  /// repeats.
  [[nodiscard]] int period() const noexcept;

  /// Writes what `rank` does in `round` (from 0) into `result`, reusing its memory: once its lists
  /// have grown to the largest neighborhood, matrices and one-peer schedules allocate nothing.
  void neighborhood(std::int64_t round, Rank rank, Neighborhood& result) const;

  /// The same among the ranks that are live: others are left out of both lists, and what the
  /// round's matrix gives to them stays with `rank`, so that its row sums to one. Rows and columns
  /// do where the matrix is symmetric and both ends of each edge find the same ranks live.
  void neighborhood(std::int64_t round, Rank rank, const std::function<bool(Rank)>& is_live,
                    Neighborhood& result) const;

  /// The whole matrix of a round, assembled from all neighborhoods. For checks and tests.
  [[nodiscard]] MixingMatrix matrix(std::int64_t round) const;

  /// The most in- or out-neighbors that any rank has in one of the first `rounds` rounds.
  [[nodiscard]] int max_degree(std::int64_t rounds) const;

  /// What no round exceeds: the largest degree of a period; of a schedule that never repeats what
  /// its maker said.
  [[nodiscard]] int degree_bound() const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace gossip::topology
