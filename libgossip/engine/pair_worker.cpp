// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include <libgossip/base/deadline.h>
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
  const Rank lower = std::min(rank, neighbor);
  return 2 * ahead < size || (2 * ahead == size && (rank == lower) == (lower % 2 == 0));
}

std::vector<Rank> asked_by(const transport::Group& group, const topology::Graph& graph,
                           bool is_atomic) {
  const Rank rank = group.rank();
  const std::vector<int> levels = is_atomic ? levels_of(graph) : std::vector<int>();
  const auto level = [&](Rank which) { return levels[static_cast<std::size_t>(which)]; };
  std::vector<Rank> asked;
  for (const Rank neighbor : graph.out_neighbors(rank)) {
    const bool is_near = group.shares_memory_with(neighbor);
    const bool asks =
        is_atomic ? level(rank) < level(neighbor) : starts(rank, neighbor, group.size());
    if (is_near || asks) asked.insert(asked.end(), is_near ? 1 : 2, neighbor);
  }
  return asked;
}

/// Events that a rank takes part in per step if all edges are used alike: each has two ends.
double events_per_step(const topology::Graph& graph, Rank rank, double exchanges_per_step) {
  if (graph.num_arcs() == 0) return 0.0;
  return 2.0 * exchanges_per_step * degree(graph, rank) / mean_degree(graph);
}

/// A unit of time has one event per rank on average; with paced steps it is a step.
std::vector<double> times_between_events(const topology::Graph& graph,
                                         const PairWorkerOptions& options) {
  std::vector<double> times;
  for (Rank rank = 0; rank < graph.size(); ++rank) {
    const double events =
        events_per_step(graph, rank, options.is_paced ? options.exchanges_per_step : 0.5);
    times.push_back(events > 0.0 ? 1.0 / events : 0.0);
  }
  return times;
}

/// Gradients four times as seldom as planned do no harm; ten times do.
std::int64_t most_events(const topology::Graph& graph, Rank rank,
                         const PairWorkerOptions& options) {
  constexpr double kMostTime = 4.0;
  if (!options.is_paced) return 0;
  const double events = events_per_step(graph, rank, options.exchanges_per_step);
  return static_cast<std::int64_t>(std::ceil(kMostTime * events)) + 1;
}

const topology::Graph& checked(transport::Group& group, const topology::Graph& graph,
                               const PairWorkerOptions& options) {
  transport::check_together(group, [&] {
    check_size(graph.name(), graph.size(), group);
    GOSSIP_CHECK(graph.is_undirected() && graph.is_strongly_connected(),
                 "The topology '{}' is not an undirected graph that connects all {} ranks, which "
                 "pair events need: ring, torus or complete would do.",
                 graph.name(), graph.size());
    GOSSIP_CHECK(group.size() == 1 ||
                     (std::isfinite(options.exchanges_per_step) && options.exchanges_per_step > 0),
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
      asked_(asked_by(group, graph, options.is_paced)),
      exchanges_per_step_(asked_.empty()
                              ? 0.0
                              : options.exchanges_per_step * static_cast<double>(asked_.size()) /
                                    mean_degree(graph)),
      events_per_step_(events_per_step(graph, group.rank(), options.exchanges_per_step)),
      random_(SplitMix64::at(options.seed, static_cast<std::uint64_t>(group.rank()))),
      roster_(group, neighbors_),
      exchange_(group, algorithm_, shapes,
                {.peers = neighbors_,
                 .elapsed = times_between_events(graph, options),
                 .most_events = most_events(graph, group.rank(), options),
                 .is_atomic = options.is_paced,
                 .timeout = options.timeout,
                 .on_lost_neighbor = options.on_lost_neighbor}) {}

PairWorker::~PairWorker() = default;

void PairWorker::prepare(bool communicate) {
  if (is_away_) come_back();
  if (!options_.is_paced || !communicate) return;
  await_exchanges();
  exchange_.take_in();  // the gradient is to be that of the model as it is now
}

/// What the others have not started is started by this rank, one by one.
void PairWorker::await_exchanges() {
  for (std::int64_t events = exchange_.events(); static_cast<double>(events) + 1.0 <= due_;) {
    if (is_halted()) break;
    const bool may_ask =
        std::ranges::any_of(asked_, [this](Rank peer) { return !exchange_.is_lost(peer); });
    if (may_ask && !exchange_.is_wanting()) {
      exchange_.want(asked_[random_.below(asked_.size())]);
    }
    const auto has_moved = [&] {
      return exchange_.events() > events || (may_ask && !exchange_.is_wanting()) || is_halted();
    };
    if (!wait_until(Deadline(options_.timeout), has_moved, [&] { exchange_.check(); })) {
      throw TimeoutError(-1,
                         fmt::format("Rank {} waited {} ms for an exchange with one of its "
                                     "neighbors ({}): they have ended, hang, or need a longer "
                                     "timeout.",
                                     rank_, options_.timeout.count(), fmt::join(neighbors_, ", ")));
    }
    events = exchange_.events();
  }
  exchange_.want_no_more();
}

void PairWorker::finish(bool communicate) {
  exchange_.open();
  try {
    local_update_();
    if (neighbors_.empty()) pass_time();
  } catch (...) {
    exchange_.close();
    throw;
  }
  if (options_.is_paced && communicate) count_events();
  ++position_.step;
  exchange_.set_step(position_.step);
  exchange_.close();
  roster_.set_steps(position_.step);
  if (communicate) start_exchanges();
}

/// Events beyond those of a step do not make the next one wait less, and where time stood still
/// nothing is made up for.
void PairWorker::count_events() {
  const std::int64_t events = exchange_.events();
  events_ += events;
  ++paced_;
  due_ = std::clamp(due_ - static_cast<double>(events), 0.0, 1.0) + events_per_step_;
}

/// Whether time stands still for a paced method: where ranks have left, the others would go on
/// towards an optimum without them.
bool PairWorker::is_halted() const {
  return roster_.is_anyone_away() ||
         std::ranges::all_of(neighbors_, [this](Rank peer) { return exchange_.is_lost(peer); });
}

/// Where there are no events ever, a step is the unit of time. Of relative methods all vectors are equal then.
void PairWorker::pass_time() {
  if (algorithm_->is_relative()) return;
  for (std::size_t v = 0; v < exchange_.model().size(); ++v) {
    algorithm_->flow(local_state(v), 1.0);
  }
}

void PairWorker::start_exchanges() {
  if (asked_.empty() || (options_.is_paced && is_halted())) return;
  // A function of rank and step, so that a resumed run chooses as the first one did.
  auto random = SplitMix64::at(options_.seed, static_cast<std::uint64_t>(position_.step) << 16U |
                                                  static_cast<std::uint64_t>(rank_));
  const double whole = std::floor(exchanges_per_step_);
  const int count = static_cast<int>(whole) + (random.unit() < exchanges_per_step_ - whole ? 1 : 0);
  for (int i = 0; i < count; ++i) {
    const Rank peer = asked_[random.below(asked_.size())];
    if (options_.is_paced) {
      exchange_.want(peer);
    } else {
      exchange_.request(peer);
    }
  }
}

double PairWorker::events_over_planned() const {
  if (paced_ == 0 || events_per_step_ == 0.0) return 1.0;
  return static_cast<double>(events_) / (static_cast<double>(paced_) * events_per_step_);
}

std::vector<VectorView> PairWorker::local_state(std::size_t vector) const {
  std::vector<VectorView> result{exchange_.model()[vector]};
  for (int v = 1; v < algorithm_->num_vectors(); ++v) {
    result.push_back(exchange_.state(v)[vector]);
  }
  return result;
}

void PairWorker::leave() {
  if (is_away_) return;
  roster_.set_away(true);
  exchange_.settle();
  is_away_ = true;
}

void PairWorker::come_back() {
  exchange_.close();
  roster_.set_away(false);
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
