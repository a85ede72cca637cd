// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/notice.h>
#include <libgossip/base/random.h>
#include <libgossip/engine/neighbors.h>
#include <libgossip/engine/pairs/pair_worker.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {
namespace {

/// Exchanges of a rank per step.
constexpr double kMostExchanges = 1e6;

/// How much faster than this rank a neighbor may be with its exchanges.
constexpr double kMostPace = 2.0;

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

/// Of steps that do not wait.
std::vector<Rank> asked_by(const transport::Group& group, const std::vector<Rank>& neighbors) {
  std::vector<Rank> asked;
  for (const Rank neighbor : neighbors) {
    const bool is_near = group.shares_memory_with(neighbor);
    if (!is_near && !starts(group.rank(), neighbor, group.size())) continue;
    asked.insert(asked.end(), is_near ? 1 : 2, neighbor);
  }
  return asked;
}

/// Events that an edge has per step of each rank.
double events_per_edge(const topology::Graph& graph, double exchanges_per_step) {
  return graph.num_arcs() > 0 ? 2.0 * exchanges_per_step / mean_degree(graph) : 0.0;
}

/// Events that a rank takes part in per step if all edges are used alike.
double events_per_step(const topology::Graph& graph, Rank rank, double exchanges_per_step) {
  return degree(graph, rank) * events_per_edge(graph, exchanges_per_step);
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

const topology::Graph& checked(transport::Group& group, const algorithm::PairAlgorithm& algorithm,
                               const topology::Graph& graph, const PairWorkerOptions& options) {
  transport::check_together(group, [&] {
    check_size(graph.name(), graph.size(), group);
    GOSSIP_CHECK(graph.is_undirected() && graph.is_strongly_connected(),
                 "The topology '{}' is not an undirected graph that connects all {} ranks, which "
                 "pair events need: ring, torus or complete would do.",
                 graph.name(), graph.size());
    GOSSIP_CHECK(options.exchanges_per_step > 0 && options.exchanges_per_step <= kMostExchanges,
                 "exchanges_per_step is {}: it must be a positive number, at most {}.",
                 options.exchanges_per_step, kMostExchanges);
    GOSSIP_CHECK(algorithm.is_relative() || options.is_paced,
                 "The steps of '{}' must be paced: without enough exchanges it diverges.",
                 algorithm.name());
    GOSSIP_CHECK(!options.is_paced || options.on_lost_neighbor == OnLostNeighbor::kError,
                 "'{}' cannot go on without a lost neighbor, whose exchanges it waits for: take "
                 "on_lost_neighbor 'error'.",
                 algorithm.name());
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
      neighbors_(checked(group, *algorithm_, graph, options).out_neighbors(group.rank())),
      asked_(asked_by(group, neighbors_)),
      share_(asked_.empty() ? 0.0 : static_cast<double>(asked_.size()) / mean_degree(graph)),
      events_per_edge_(events_per_edge(graph, options.exchanges_per_step)),
      edges_(options.is_paced ? edges_of(group, graph, options.seed) : std::vector<Edge>()),
      exchange_(group, algorithm_, shapes,
                {.peers = neighbors_,
                 .elapsed = times_between_events(graph, options),
                 .is_atomic = options.is_paced,
                 .timeout = options.timeout,
                 .on_lost_neighbor = options.on_lost_neighbor}) {}

PairWorker::~PairWorker() = default;

/// Both ends of an edge begin with the same part of an event.
std::vector<PairWorker::Edge> PairWorker::edges_of(const transport::Group& group,
                                                   const topology::Graph& graph,
                                                   std::uint64_t seed) {
  const std::vector<int> levels = levels_of(graph);
  const auto level = [&](Rank rank) { return levels[static_cast<std::size_t>(rank)]; };
  const Rank own = group.rank();
  std::vector<Edge> edges;
  for (const Rank peer : graph.out_neighbors(own)) {
    const auto number = static_cast<std::uint64_t>(std::min(own, peer)) << 32U |
                        static_cast<std::uint64_t>(std::max(own, peer));
    const double phase = SplitMix64::at(seed, number).unit();
    const bool is_first = level(own) < level(peer);
    edges.push_back({.peer = peer,
                     .is_first = is_first,
                     .may_ask = is_first || group.shares_memory_with(peer),
                     .due = phase,
                     .spare = phase});
  }
  return edges;
}

void PairWorker::prepare(const policy::Decision& decision) {
  check_plain(decision);
  if (is_open_) come_back();
  if (!options_.is_paced || !decision.communicates) return;
  exchange_.forget_paused();  // who is still away is met again
  await_exchanges();
  exchange_.take_in();  // the gradient is to be that of the model as it is now
}

bool PairWorker::is_due(const Edge& edge) const {
  const std::int64_t events = exchange_.events_with(edge.peer) - edge.events;
  return static_cast<double>(events) + 1.0 <= edge.due;
}

/// Those with which an exchange is due.
std::string PairWorker::late_peers() const {
  std::vector<Rank> late;
  for (const Edge& edge : edges_) {
    if (is_due(edge)) late.push_back(edge.peer);
  }
  return fmt::format("{}", fmt::join(late, ", "));
}

/// What the others have not started is started by this rank, one by one.
void PairWorker::await_exchanges() {
  const auto events = [this] {
    std::int64_t sum = 0;
    for (const Edge& edge : edges_) sum += exchange_.events_with(edge.peer);
    return sum;
  };
  const auto is_done = [this] {
    if (is_halted()) return true;
    bool result = true;
    for (const Edge& edge : edges_) {
      if (!is_due(edge)) continue;
      result = false;
      if (edge.may_ask && !exchange_.is_pending(edge.peer)) exchange_.enqueue(edge.peer);
    }
    return result;
  };
  for (std::int64_t last = events(); !is_done(); last = events()) {
    const auto has_moved = [&] { return is_done() || events() != last; };
    // The exchange's own error, which names who does not answer, comes first.
    const Deadline deadline(twice(options_.timeout));
    Notice notice(rank_, deadline);
    const auto while_waiting = [&] {
      exchange_.check();
      notice.look([&] { return fmt::format("an exchange with one of ranks {}", late_peers()); });
    };
    if (wait_until(deadline, has_moved, std::cref(while_waiting))) continue;
    throw TimeoutError(-1, fmt::format("Rank {} waited {} ms for an exchange with one of its "
                                       "neighbors ({}): they have ended, hang, or need a longer "
                                       "timeout.",
                                       rank_, deadline.timeout().count(), late_peers()));
  }
  exchange_.cancel_queued();
}

void PairWorker::check_finish(const policy::Decision& decision) const {
  if (!decision.exchanges) return;
  GOSSIP_CHECK(
      !options_.is_paced,
      "{} exchanges were decided for a step, but how many belong to a step of '{}' follows "
      "from its constants.",
      *decision.exchanges, algorithm_->name());
  GOSSIP_CHECK(*decision.exchanges >= 0 && *decision.exchanges <= kMostExchanges,
               "{} exchanges were decided for a step: it must be a number from 0 to {}.",
               *decision.exchanges, kMostExchanges);
}

void PairWorker::finish(const policy::Decision& decision) {
  check_finish(decision);
  exchange_.open();
  try {
    local_update_();
    if (neighbors_.empty()) pass_time();
  } catch (...) {
    exchange_.close();
    throw;
  }
  if (options_.is_paced) count_step(decision.communicates);
  ++position_.step;
  exchange_.set_step(position_.step);
  exchange_.close();
  exchange_.membership().set_steps(position_.step);
  if (!decision.communicates) return;
  if (!options_.is_paced) {
    start_exchanges(decision.exchanges.value_or(options_.exchanges_per_step));
  } else if (!is_halted()) {
    start_paced();
  }
}

/// A step that does not communicate has its gradient all the same, but waits for no events; where
/// time stands still none belong to it.
void PairWorker::count_step(bool communicate) {
  if (!is_halted()) ++paced_;
  if (communicate) count_events();
}

/// What an edge has too many or too few events counts for the next step, but no more: where time
/// stood still nothing is made up for.
void PairWorker::count_events() {
  for (Edge& edge : edges_) {
    const std::int64_t events = exchange_.events_with(edge.peer);
    const auto done = static_cast<double>(events - edge.events);
    edge.due = std::clamp(edge.due - done, -1.0 - events_per_edge_, 1.0) + events_per_edge_;
    edge.events = events;
    events_ += done;
  }
  allow_events(kMostPace);
}

/// Before the next step, with each neighbor, `times` as many events as belong to a step: what a
/// fast neighbor has too much of, other edges have too little of, as time is counted by all events.
/// Twice is what a safety factor of 2 bears.
void PairWorker::allow_events(double times) {
  for (Edge& edge : edges_) {
    edge.spare += times * events_per_edge_ - std::floor(edge.spare);
    exchange_.set_credit(edge.peer, static_cast<std::int64_t>(
                                        std::max(std::floor(edge.spare), std::floor(edge.due))));
  }
}

/// Of the two ends the lower one begins; for a neighbor that steps faster it begins more.
void PairWorker::start_paced() {
  for (const Edge& edge : edges_) {
    if (!edge.is_first) continue;
    const auto theirs = static_cast<double>(exchange_.membership().steps_of(edge.peer));
    const double pace = std::clamp(theirs / static_cast<double>(position_.step), 1.0, kMostPace);
    const double count = std::floor(edge.due + (pace - 1.0) * events_per_edge_);
    for (double i = 0; i < count; ++i) exchange_.enqueue(edge.peer);
  }
}

/// Whether time stands still for a paced method: where ranks have left, the others would go on
/// towards an optimum without them. A neighbor that left is met before it is reported.
bool PairWorker::is_halted() const {
  return exchange_.membership().has_anyone_left() || exchange_.has_met_paused();
}

/// Where there are no events ever, a step is the unit of time. Of relative methods all vectors are
/// equal then.
void PairWorker::pass_time() {
  if (algorithm_->is_relative()) return;
  for (std::size_t v = 0; v < exchange_.model().size(); ++v) {
    algorithm_->flow(local_state(v), 1.0);
  }
}

void PairWorker::start_exchanges(double per_step) {
  if (asked_.empty()) return;
  const double own = per_step * share_;
  // A function of rank and step, so that a resumed run chooses as the first one did.
  auto random = SplitMix64::at(options_.seed, static_cast<std::uint64_t>(position_.step) << 16U |
                                                  static_cast<std::uint64_t>(rank_));
  const double whole = std::floor(own);
  const std::int64_t count =
      static_cast<std::int64_t>(whole) + (random.unit() < own - whole ? 1 : 0);
  for (std::int64_t i = 0; i < count; ++i) {
    exchange_.request(asked_[random.below(asked_.size())]);
  }
}

double PairWorker::events_over_planned() const {
  const double planned =
      static_cast<double>(paced_) * events_per_edge_ * static_cast<double>(edges_.size());
  return planned > 0.0 ? events_ / planned : 1.0;
}

std::vector<VectorView> PairWorker::local_state(std::size_t vector) const {
  std::vector<VectorView> result{exchange_.model()[vector]};
  for (int v = 1; v < algorithm_->num_vectors(); ++v) {
    result.push_back(exchange_.state(v)[vector]);
  }
  return result;
}

void PairWorker::leave() {
  if (is_open_) return;
  exchange_.membership().leave();
  exchange_.drain();
  is_open_ = true;
}

void PairWorker::come_back() {
  exchange_.close();
  allow_events(kMostPace);
  exchange_.membership().come_back();
  is_open_ = false;
}

void PairWorker::come_back_alone() {
  exchange_.membership().come_back_alone();
  come_back();
}

void PairWorker::set_position(const Position& position) {
  position_ = position;
  exchange_.set_step(position_.step);
  exchange_.membership().restart(position_.step);
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
