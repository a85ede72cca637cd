// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/topology/graph.h>

namespace gossip::topology {
namespace {

using Adjacency = std::vector<std::vector<Rank>>;

void check_arc(const std::string& name, int size, Arc arc) {
  const auto exists = [size](Rank rank) { return rank >= 0 && rank < size; };
  GOSSIP_CHECK(exists(arc.sender) && exists(arc.receiver),
               "Edge {} -> {} of graph '{}' names a rank outside 0..{}", arc.sender, arc.receiver,
               name, size - 1);
  GOSSIP_CHECK(arc.sender != arc.receiver,
               "Edge {} -> {} of graph '{}' joins a rank with itself; leave it out, every rank "
               "keeps its own value anyway",
               arc.sender, arc.receiver, name);
}

void sort_and_drop_duplicates(Adjacency& adjacency) {
  for (auto& neighbors : adjacency) {
    std::sort(neighbors.begin(), neighbors.end());
    neighbors.erase(std::unique(neighbors.begin(), neighbors.end()), neighbors.end());
    neighbors.shrink_to_fit();
  }
}

/// The first rank that no walk along `adjacency` from rank 0 finds.
std::optional<Rank> find_unseen(const Adjacency& adjacency) {
  std::vector<bool> seen(adjacency.size(), false);
  std::vector<Rank> to_visit{0};
  seen[0] = true;
  while (!to_visit.empty()) {
    const auto rank = static_cast<std::size_t>(to_visit.back());
    to_visit.pop_back();
    for (const Rank next : adjacency[rank]) {
      if (seen[static_cast<std::size_t>(next)]) continue;
      seen[static_cast<std::size_t>(next)] = true;
      to_visit.push_back(next);
    }
  }
  const auto unseen = std::find(seen.begin(), seen.end(), false);
  if (unseen == seen.end()) return std::nullopt;
  return static_cast<Rank>(unseen - seen.begin());
}

}  // namespace

Graph::Graph(int size, const std::vector<Arc>& arcs, bool both_directions, std::string name)
    : name_(std::move(name)) {
  GOSSIP_CHECK(size >= 1, "Graph '{}' has {} ranks, but needs at least 1", name_, size);
  in_.resize(static_cast<std::size_t>(size));
  out_.resize(static_cast<std::size_t>(size));
  const auto add = [this](Rank sender, Rank receiver) {
    in_[static_cast<std::size_t>(receiver)].push_back(sender);
    out_[static_cast<std::size_t>(sender)].push_back(receiver);
  };
  for (const Arc arc : arcs) {
    check_arc(name_, size, arc);
    add(arc.sender, arc.receiver);
    if (both_directions) add(arc.receiver, arc.sender);
  }
  sort_and_drop_duplicates(in_);
  sort_and_drop_duplicates(out_);
}

Graph Graph::directed(int size, const std::vector<Arc>& arcs, std::string name) {
  return {size, arcs, false, std::move(name)};
}

Graph Graph::undirected(int size, const std::vector<Arc>& edges, std::string name) {
  return {size, edges, true, std::move(name)};
}

const std::vector<Rank>& Graph::in_neighbors(Rank rank) const {
  GOSSIP_CHECK(rank >= 0 && rank < size(), "Graph '{}' has the ranks 0..{}, not {}", name_,
               size() - 1, rank);
  return in_[static_cast<std::size_t>(rank)];
}

const std::vector<Rank>& Graph::out_neighbors(Rank rank) const {
  GOSSIP_CHECK(rank >= 0 && rank < size(), "Graph '{}' has the ranks 0..{}, not {}", name_,
               size() - 1, rank);
  return out_[static_cast<std::size_t>(rank)];
}

bool Graph::has_arc(Rank sender, Rank receiver) const {
  const auto& neighbors = out_neighbors(sender);
  return std::binary_search(neighbors.begin(), neighbors.end(), receiver);
}

int Graph::num_arcs() const noexcept {
  std::size_t count = 0;
  for (const auto& neighbors : out_) count += neighbors.size();
  return static_cast<int>(count);
}

int Graph::max_degree() const noexcept {
  std::size_t degree = 0;
  for (const auto& neighbors : in_) degree = std::max(degree, neighbors.size());
  for (const auto& neighbors : out_) degree = std::max(degree, neighbors.size());
  return static_cast<int>(degree);
}

bool Graph::is_undirected() const { return in_ == out_; }

std::optional<Arc> Graph::find_unreachable() const {
  if (const auto rank = find_unseen(out_)) return Arc{0, *rank};
  if (const auto rank = find_unseen(in_)) return Arc{*rank, 0};
  return std::nullopt;
}

}  // namespace gossip::topology
