// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>

#include <libgossip/base/error.h>
#include <libgossip/topology/spectral.h>
#include <libgossip/topology/weights.h>

namespace gossip::topology {
namespace {

using Entries = std::vector<MixingMatrix::Entry>;

void check_undirected(const Graph& graph, const char* weights) {
  if (graph.is_undirected()) return;
  for (Rank receiver = 0; receiver < graph.size(); ++receiver) {
    for (const Rank sender : graph.in_neighbors(receiver)) {
      GOSSIP_CHECK(graph.has_arc(receiver, sender),
                   "{} weights need an undirected graph, but '{}' has the edge {} -> {} without "
                   "its opposite; take uniform in-degree or out-degree weights",
                   weights, graph.name(), sender, receiver);
    }
  }
}

/// The matrix with `edge_weight(i, j)` on the arcs j -> i and what is missing to 1 in each row on
/// the diagonal.
template <class EdgeWeight>
MixingMatrix with_self_weights(const Graph& graph, EdgeWeight edge_weight) {
  Entries entries;
  for (Rank receiver = 0; receiver < graph.size(); ++receiver) {
    double self_weight = 1.0;
    for (const Rank sender : graph.in_neighbors(receiver)) {
      const double weight = edge_weight(receiver, sender);
      entries.push_back({receiver, sender, weight});
      self_weight -= weight;
    }
    entries.push_back({receiver, receiver, self_weight});
  }
  return {graph.size(), entries};
}

int num_neighbors(const Graph& graph, Rank rank) {
  return static_cast<int>(graph.in_neighbors(rank).size());
}

}  // namespace

MixingMatrix metropolis(const Graph& graph) {
  check_undirected(graph, "Metropolis");
  return with_self_weights(graph, [&](Rank i, Rank j) {
    return 1.0 / (1.0 + std::max(num_neighbors(graph, i), num_neighbors(graph, j)));
  });
}

MixingMatrix max_degree_weights(const Graph& graph) {
  check_undirected(graph, "Maximum-degree");
  return constant_edge_weights(graph, 1.0 / (1.0 + graph.max_degree()));
}

MixingMatrix constant_edge_weights(const Graph& graph, double edge_weight) {
  check_undirected(graph, "Constant");
  return with_self_weights(graph, [&](Rank, Rank) { return edge_weight; });
}

MixingMatrix spectral_weights(const Graph& graph) {
  return constant_edge_weights(graph, 1.0 / laplacian_spectrum(graph).lambda_max);
}

MixingMatrix uniform_in_degree(const Graph& graph) {
  Entries entries;
  for (Rank receiver = 0; receiver < graph.size(); ++receiver) {
    const auto& senders = graph.in_neighbors(receiver);
    const double weight = 1.0 / (1.0 + static_cast<double>(senders.size()));
    entries.push_back({receiver, receiver, weight});
    for (const Rank sender : senders) entries.push_back({receiver, sender, weight});
  }
  return {graph.size(), entries};
}

MixingMatrix uniform_out_degree(const Graph& graph) {
  Entries entries;
  for (Rank sender = 0; sender < graph.size(); ++sender) {
    const auto& receivers = graph.out_neighbors(sender);
    const double weight = 1.0 / (1.0 + static_cast<double>(receivers.size()));
    entries.push_back({sender, sender, weight});
    for (const Rank receiver : receivers) entries.push_back({receiver, sender, weight});
  }
  return {graph.size(), entries};
}

MixingMatrix average_within(int size, const std::vector<std::vector<Rank>>& groups) {
  std::vector<MixingMatrix::Entry> entries;
  std::vector<bool> is_placed(static_cast<std::size_t>(size), false);
  for (const std::vector<Rank>& group : groups) {
    for (const Rank i : group) {
      GOSSIP_CHECK(i >= 0 && i < size, "Rank {} is in a group, but ranks are 0 to {}.", i,
                   size - 1);
      GOSSIP_CHECK(!is_placed[static_cast<std::size_t>(i)], "Rank {} is in two groups.", i);
      is_placed[static_cast<std::size_t>(i)] = true;
      for (const Rank j : group) {
        entries.push_back({i, j, 1.0 / static_cast<double>(group.size())});
      }
    }
  }
  for (Rank i = 0; i < size; ++i) {
    if (!is_placed[static_cast<std::size_t>(i)]) entries.push_back({i, i, 1.0});
  }
  return {size, entries};
}

MixingMatrix lazy(const MixingMatrix& matrix) {
  Entries entries;
  for (Rank receiver = 0; receiver < matrix.size(); ++receiver) {
    entries.push_back({receiver, receiver, (1.0 + matrix.self_weight(receiver)) / 2.0});
    for (const Neighbor& neighbor : matrix.row(receiver)) {
      entries.push_back({receiver, neighbor.rank, neighbor.weight / 2.0});
    }
  }
  return {matrix.size(), entries};
}

}  // namespace gossip::topology
