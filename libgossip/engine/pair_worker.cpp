// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/engine/neighbors.h>
#include <libgossip/engine/pair_worker.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {
namespace {

/// Neighbors of a rank, on average.
double mean_degree(const topology::Graph& graph) {
  return static_cast<double>(graph.num_arcs()) / graph.size();
}

double degree(const topology::Graph& graph, Rank rank) {
  return static_cast<double>(graph.out_neighbors(rank).size());
}

/// Which of two neighbors starts exchanges when only one shall: every rank for about half of its
/// edges, on a ring each for the one to the next rank.
bool starts(Rank rank, Rank neighbor, int size) {
  const int ahead = (neighbor - rank + size) % size;
  return 2 * ahead < size || (2 * ahead == size && (rank < neighbor) == (rank % 2 == 0));
}

std::vector<Rank> asked_by(const transport::Group& group, const std::vector<Rank>& neighbors) {
  std::vector<Rank> asked;
  for (const Rank neighbor : neighbors) {
    const bool is_near = group.shares_memory_with(neighbor);
    if (!is_near && !starts(group.rank(), neighbor, group.size())) continue;
    asked.insert(asked.end(), is_near ? 1 : 2, neighbor);
  }
  return asked;
}

/// With one event per rank and unit of time on average, a rank's share is its part of the edges.
std::vector<double> times_between_events(const topology::Graph& graph) {
  std::vector<double> times;
  for (Rank rank = 0; rank < graph.size(); ++rank) {
    times.push_back(graph.num_arcs() > 0 ? mean_degree(graph) / degree(graph, rank) : 0.0);
  }
  return times;
}

const topology::Graph& checked(transport::Group& group, const topology::Graph& graph,
                               const PairWorkerOptions& options) {
  transport::check_together(group, [&] {
    check_size(graph.name(), graph.size(), group);
    GOSSIP_CHECK(graph.is_undirected() && graph.is_strongly_connected(),
                 "The topology '{}' is not an undirected graph that connects all {} ranks, which "
                 "pair events need: ring, torus or complete would do.",
                 graph.name(), graph.size());
    GOSSIP_CHECK(std::isfinite(options.exchanges_per_step) && options.exchanges_per_step > 0,
                 "exchanges_per_step is {}: it must be a positive number.",
                 options.exchanges_per_step);
  });
  return graph;
}

}  // namespace

PairWorker::PairWorker(transport::Group& group,
                       std::shared_ptr<const algorithm::PairAlgorithm> algorithm,
                       const topology::Graph& graph, const std::vector<VectorView>& shapes,
                       std::function<void()> local_update, const PairWorkerOptions& options)
    : algorithm_(std::move(algorithm)),
      local_update_(std::move(local_update)),
      options_(options),
      rank_(group.rank()),
      neighbors_(checked(group, graph, options).out_neighbors(group.rank())),
      asked_(asked_by(group, neighbors_)),
      exchanges_per_step_(asked_.empty()
                              ? 0.0
                              : options.exchanges_per_step * static_cast<double>(asked_.size()) /
                                    mean_degree(graph)),
      roster_(group, neighbors_),
      exchange_(group, algorithm_, shapes,
                {.peers = neighbors_,
                 .elapsed = times_between_events(graph),
                 .timeout = options.timeout,
                 .on_lost_neighbor = options.on_lost_neighbor}) {}

PairWorker::~PairWorker() = default;

void PairWorker::prepare(bool /*communicate*/) {
  if (is_away_) come_back();
}

void PairWorker::finish(bool communicate) {
  exchange_.open();
  try {
    local_update_();
  } catch (...) {
    exchange_.close();
    throw;
  }
  ++position_.step;
  exchange_.set_step(position_.step);
  exchange_.close();
  roster_.set_steps(position_.step);
  if (communicate) start_exchanges();
}

void PairWorker::start_exchanges() {
  if (asked_.empty()) return;
  // A function of rank and step, so that a resumed run chooses as the first one did.
  auto random = SplitMix64::at(options_.seed, static_cast<std::uint64_t>(position_.step) << 16U |
                                                  static_cast<std::uint64_t>(rank_));
  const double whole = std::floor(exchanges_per_step_);
  const int count = static_cast<int>(whole) + (random.unit() < exchanges_per_step_ - whole ? 1 : 0);
  for (int i = 0; i < count; ++i) {
    exchange_.request(asked_[random.below(asked_.size())]);
  }
}

void PairWorker::leave() {
  if (is_away_) return;
  exchange_.settle();
  is_away_ = true;
}

void PairWorker::come_back() {
  exchange_.close();
  is_away_ = false;
}

void PairWorker::set_position(const Position& position) {
  position_ = position;
  exchange_.set_step(position_.step);
  roster_.set_steps(position_.step);
}

std::vector<StateVector> PairWorker::state() {
  std::vector<StateVector> result;
  for (int v = 1; v < algorithm_->num_vectors(); ++v) {
    const std::vector<VectorView> vectors = exchange_.state(v);
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      result.push_back({fmt::format("{}_{}_{}", algorithm_->name(), v, i), vectors[i]});
    }
  }
  return result;
}

}  // namespace gossip::engine
