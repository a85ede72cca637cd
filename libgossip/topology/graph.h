// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Who may talk to whom.

#include <optional>
#include <string>
#include <vector>

#include <libgossip/base/types.h>

namespace gossip::topology {

/// A directed edge: `sender` -> `receiver`.
struct Arc {
  Rank sender;
  Rank receiver;
};

/// A set of arcs between the ranks 0..size-1, without self-loops (every rank keeps its own value
/// anyway). Immutable; carries no weights (see weights.h).
///
/// Threads: const member functions may run at the same time.
/// Errors: construction throws gossip::Error naming the edge that is wrong.
class Graph {
 public:
  /// The graph with exactly these arcs. An arc that is given twice counts once.
  [[nodiscard]] static Graph directed(int size, const std::vector<Arc>& arcs,
                                      std::string name = "graph");

  /// The graph with these edges in both directions. An edge that is given twice, in whichever
  /// direction, counts once.
  [[nodiscard]] static Graph undirected(int size, const std::vector<Arc>& edges,
                                        std::string name = "graph");

  /// Name for logs and results, such as "ring".
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// Number of ranks.
  [[nodiscard]] int size() const noexcept { return static_cast<int>(in_.size()); }

  /// The ranks that `rank` receives from, sorted. Throws gossip::Error for a rank that is not
  /// there.
  [[nodiscard]] const std::vector<Rank>& in_neighbors(Rank rank) const;

  /// The ranks that `rank` sends to, sorted. Throws gossip::Error for a rank that is not there.
  [[nodiscard]] const std::vector<Rank>& out_neighbors(Rank rank) const;

  [[nodiscard]] bool has_arc(Rank sender, Rank receiver) const;

  /// Number of arcs; an undirected edge counts twice.
  [[nodiscard]] int num_arcs() const noexcept;

  /// The most in- or out-neighbors that a rank has.
  [[nodiscard]] int max_degree() const noexcept;

  /// Whether every arc has its opposite.
  [[nodiscard]] bool is_undirected() const;

  /// Whether what any rank sends can reach every rank. For an undirected graph: connected.
  [[nodiscard]] bool is_strongly_connected() const { return !find_unreachable(); }

  /// Two ranks without a way from `sender` to `receiver`; nothing when strongly connected.
  [[nodiscard]] std::optional<Arc> find_unreachable() const;

 private:
  Graph(int size, const std::vector<Arc>& arcs, bool both_directions, std::string name);

  std::string name_;
  std::vector<std::vector<Rank>> in_;
  std::vector<std::vector<Rank>> out_;
};

}  // namespace gossip::topology
