// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/notice.h>
#include <libgossip/base/random.h>
#include <libgossip/engine/pairs/pacing.h>
#include <libgossip/topology/checks.h>
#include <libgossip/topology/pair_events.h>
#include <libgossip/topology/union_graph.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {
namespace {

/// Exchanges of a rank per step.
constexpr double kMostExchanges = 1e6;

/// How much faster than this rank a neighbor may be with its exchanges.
constexpr double kMostPace = 2.0;

class FreePacing final : public Pacing {
 public:
  FreePacing(const transport::Group& group, const topology::Graph& graph,
             const PairWorkerOptions& options, PairExchange& exchange)
      : rank_(group.rank()),
        seed_(options.seed),
        exchanges_(options.exchanges_per_step),
        exchange_(exchange) {
    for (const Rank neighbor : graph.out_neighbors(rank_)) {
      const bool is_on_this_host = group.shares_memory_with(neighbor);
      if (!is_on_this_host && !topology::starts_exchanges(rank_, neighbor, group.size())) continue;
      asked_.insert(asked_.end(), is_on_this_host ? 1 : 2, neighbor);
    }
    if (!asked_.empty()) share_ = static_cast<double>(asked_.size()) / topology::mean_degree(graph);
  }

  void check_exchanges(double exchanges) const override {
    GOSSIP_CHECK(exchanges >= 0.0 && exchanges <= kMostExchanges,
                 "{} exchanges were decided for a step: it must be a number from 0 to {}.",
                 exchanges, kMostExchanges);
  }

  void start_exchanges(std::int64_t step, const std::optional<double>& decided) override {
    if (asked_.empty()) return;
    const double own = share_ * decided.value_or(exchanges_);
    // A function of rank and step, so that a resumed run chooses as the first one did.
    auto random = SplitMix64::at(
        seed_, static_cast<std::uint64_t>(step) << 16U | static_cast<std::uint64_t>(rank_));
    const double whole = std::floor(own);
    const std::int64_t count =
        static_cast<std::int64_t>(whole) + (random.unit() < own - whole ? 1 : 0);
    for (std::int64_t i = 0; i < count; ++i) {
      exchange_.request(asked_[random.below(asked_.size())]);
    }
  }

 private:
  Rank rank_;
  std::uint64_t seed_;
  double exchanges_;  // a step, on average over the ranks
  PairExchange& exchange_;
  std::vector<Rank> asked_;  // to choose from: neighbors that this rank starts exchanges with,
                             // twice where it alone does
  double share_ = 0.0;       // of them that this rank starts; 1 on average
};

/// What an edge has too many or too few events counts for the next step.
class PacedSteps final : public Pacing {
 public:
  PacedSteps(const transport::Group& group, const topology::Graph& graph,
             const PairWorkerOptions& options, PairExchange& exchange);

  void resume() override { give_credit(); }
  void await_exchanges() override;
  void count_step(bool communicates) override;
  void check_exchanges(double exchanges) const override;
  void start_exchanges(std::int64_t step, const std::optional<double>& decided) override;
  [[nodiscard]] double events_over_planned() const override;

 private:
  /// To a neighbor.
  struct Edge {
    Rank peer;
    bool is_first;            // of the two; begins what belongs to a step
    bool may_ask;             // between hosts the first one only
    double due;               // events that the next step waits for
    double credit;            // events that this rank takes part in before it
    std::int64_t events = 0;  // at the last step
  };

  [[nodiscard]] bool is_halted() const;
  [[nodiscard]] bool is_due(const Edge& edge) const;
  [[nodiscard]] bool ask_for_due();
  [[nodiscard]] std::int64_t events_so_far() const;
  [[nodiscard]] std::string late_peers() const;
  void give_credit();

  Rank rank_;
  std::chrono::milliseconds timeout_;
  PairExchange& exchange_;
  double events_per_edge_;  // and step
  std::vector<Edge> edges_;
  double events_ = 0.0;     // up to the last step with communication
  std::int64_t steps_ = 0;  // that events belong to
};

/// Both ends of an edge begin with the same fraction of an event.
PacedSteps::PacedSteps(const transport::Group& group, const topology::Graph& graph,
                       const PairWorkerOptions& options, PairExchange& exchange)
    : rank_(group.rank()),
      timeout_(options.timeout),
      exchange_(exchange),
      events_per_edge_(topology::events_per_edge(graph, options.exchanges_per_step)) {
  const std::vector<int> levels = topology::levels_of(graph);
  const auto level = [&](Rank rank) { return levels[static_cast<std::size_t>(rank)]; };
  for (const Rank peer : graph.out_neighbors(rank_)) {
    const auto number = static_cast<std::uint64_t>(std::min(rank_, peer)) << 32U |
                        static_cast<std::uint64_t>(std::max(rank_, peer));
    const double phase = SplitMix64::at(options.seed, number).unit();
    const bool is_first = level(rank_) < level(peer);
    edges_.push_back({.peer = peer,
                      .is_first = is_first,
                      .may_ask = is_first || group.shares_memory_with(peer),
                      .due = phase,
                      .credit = phase});
  }
}

/// Whether time stands still: where ranks have left, the others would go on towards an optimum
/// without them. A neighbor that left is met before it is reported.
bool PacedSteps::is_halted() const {
  return exchange_.membership().has_anyone_left() || exchange_.has_met_paused();
}

bool PacedSteps::is_due(const Edge& edge) const {
  const std::int64_t events = exchange_.events_with(edge.peer) - edge.events;
  return static_cast<double>(events) + 1.0 <= edge.due;
}

/// Those with which an exchange is due.
std::string PacedSteps::late_peers() const {
  std::vector<Rank> late;
  for (const Edge& edge : edges_) {
    if (is_due(edge)) late.push_back(edge.peer);
  }
  return fmt::format("{}", fmt::join(late, ", "));
}

std::int64_t PacedSteps::events_so_far() const {
  std::int64_t sum = 0;
  for (const Edge& edge : edges_) sum += exchange_.events_with(edge.peer);
  return sum;
}

/// What the others have not started is started by this rank, one by one. Whether something was due.
bool PacedSteps::ask_for_due() {
  if (is_halted()) return false;
  bool result = false;
  for (const Edge& edge : edges_) {
    if (!is_due(edge)) continue;
    result = true;
    if (edge.may_ask && !exchange_.is_pending(edge.peer)) exchange_.enqueue(edge.peer);
  }
  return result;
}

void PacedSteps::await_exchanges() {
  exchange_.forget_paused();  // who still is paused is met again
  for (std::int64_t last = events_so_far(); ask_for_due(); last = events_so_far()) {
    const auto has_moved = [&] { return !ask_for_due() || events_so_far() != last; };
    // The exchange's own error, which names who does not answer, comes first.
    const Deadline deadline(twice(timeout_));
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
  exchange_.take_in();  // the gradient is to be that of the model as it is now
}

/// A step that does not communicate has its gradient all the same, but waits for no events; where
/// time stands still none belong to it, and nothing is made up for.
void PacedSteps::count_step(bool communicates) {
  if (!is_halted()) ++steps_;
  if (!communicates) return;
  for (Edge& edge : edges_) {
    const std::int64_t events = exchange_.events_with(edge.peer);
    const auto done = static_cast<double>(events - edge.events);
    edge.due = std::clamp(edge.due - done, -1.0 - events_per_edge_, 1.0) + events_per_edge_;
    edge.events = events;
    events_ += done;
  }
  give_credit();
}

/// Before the next step, with each neighbor, twice as many events as belong to a step: what a fast
/// neighbor has too much of, other edges have too little of, as time is counted by all events.
/// Twice is what a safety factor of 2 bears.
void PacedSteps::give_credit() {
  for (Edge& edge : edges_) {
    edge.credit += kMostPace * events_per_edge_ - std::floor(edge.credit);
    exchange_.set_credit(edge.peer, static_cast<std::int64_t>(
                                        std::max(std::floor(edge.credit), std::floor(edge.due))));
  }
}

void PacedSteps::check_exchanges(double exchanges) const {
  throw Error(
      fmt::format("{} exchanges were decided for a step, but how many belong to a step that "
                  "is paced follows from the method's constants.",
                  exchanges));
}

/// Of the two ends the lower one begins; for a neighbor that steps faster it begins more.
void PacedSteps::start_exchanges(std::int64_t step, const std::optional<double>& /*decided*/) {
  if (is_halted()) return;
  for (const Edge& edge : edges_) {
    if (!edge.is_first) continue;
    const auto theirs = static_cast<double>(exchange_.membership().steps_of(edge.peer));
    const double pace = std::clamp(theirs / static_cast<double>(step), 1.0, kMostPace);
    const double count = std::floor(edge.due + (pace - 1.0) * events_per_edge_);
    for (double i = 0; i < count; ++i) exchange_.enqueue(edge.peer);
  }
}

double PacedSteps::events_over_planned() const {
  const double planned =
      static_cast<double>(steps_) * events_per_edge_ * static_cast<double>(edges_.size());
  return planned > 0.0 ? events_ / planned : 1.0;
}

}  // namespace

PairExchangeOptions exchange_options(transport::Group& group,
                                     const algorithm::PairAlgorithm& algorithm,
                                     const topology::Graph& graph,
                                     const PairWorkerOptions& options) {
  transport::check_together(group, [&] {
    topology::check_size(graph.name(), graph.size(), group.size());
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
    GOSSIP_CHECK(!options.is_paced || options.on_lost_neighbor == policy::OnLostNeighbor::kError,
                 "'{}' cannot go on without a lost neighbor, whose exchanges it waits for: take "
                 "on_lost_neighbor 'error'.",
                 algorithm.name());
  });
  // A unit of time has one event per rank on average; with paced steps it is a step.
  const double exchanges_in_a_unit = options.is_paced ? options.exchanges_per_step : 0.5;
  return {.peers = graph.out_neighbors(group.rank()),
          .elapsed = topology::times_between_events(graph, exchanges_in_a_unit),
          .is_atomic = options.is_paced,  // such methods do not tolerate late halves
          .timeout = options.timeout,
          .on_lost_neighbor = options.on_lost_neighbor};
}

std::unique_ptr<Pacing> make_pacing(const transport::Group& group, const topology::Graph& graph,
                                    const PairWorkerOptions& options, PairExchange& exchange) {
  if (options.is_paced) return std::make_unique<PacedSteps>(group, graph, options, exchange);
  return std::make_unique<FreePacing>(group, graph, options, exchange);
}

}  // namespace gossip::engine
