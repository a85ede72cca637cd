// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The driver of methods whose workers meet in pairs.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <libgossip/algorithm/pair_algorithm.h>
#include <libgossip/base/random.h>
#include <libgossip/engine/pairs/pair_exchange.h>
#include <libgossip/engine/worker.h>
#include <libgossip/topology/graph.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

struct PairWorkerOptions {
  /// Exchanges that a rank starts per step, on average over the ranks. When the network is slower,
  /// those that it has no time for are left out. At most 1e6.
  double exchanges_per_step = 1.0;
  /// Whether a step waits until this rank has taken part in as many exchanges as belong to a step:
  /// a slow network then stretches time, and none are left out.
  bool is_paced = false;
  /// Of the choice of neighbors; of paced steps, of the steps in which an edge has its turn.
  std::uint64_t seed = 0;
  std::chrono::milliseconds timeout = std::chrono::minutes(5);  ///< of a neighbor's silence
  OnLostNeighbor on_lost_neighbor = OnLostNeighbor::kError;
};

/// Drives a PairAlgorithm: ranks step at their own pace, and after each step ask random neighbors
/// for exchanges, which run in the background. All edges of the graph are used alike. Inside a host
/// both ends of an edge start exchanges; between hosts only one does, twice as often: two that
/// cross each other there would swap the models instead of averaging them. Model time is counted by
/// a rank's own events, one unit for as many as it takes part in between two steps if all goes as
/// planned, so that a network that is slower stretches it, and the method stays stable.
///
/// Methods for which that is not enough are paced: all edges take their turns, steps wait for the
/// rank's events with each neighbor, and between two of its steps a rank takes part in about twice
/// as many, so that one whose gradients take long is not carried away by the others.
///
/// Collective: construction, leave() and destruction. Threads: one per rank.
class PairWorker final : public Worker {
 public:
  /// `graph` is undirected. `shapes`: types and sizes of the model's vectors; the model has to move
  /// to model_memory(). `local_update` changes it by the gradient: of methods that are not relative
  /// all of local_state().
  PairWorker(transport::Group& group, std::shared_ptr<const algorithm::PairAlgorithm> algorithm,
             const topology::Graph& graph, const std::vector<VectorView>& shapes,
             std::function<void()> local_update, const PairWorkerOptions& options = {});
  ~PairWorker() override;

  [[nodiscard]] std::vector<VectorView> model_memory() override { return exchange_.model(); }
  void prepare(const policy::Decision& decision = {}) override;
  void check_finish(const policy::Decision& decision) const override;
  void finish(const policy::Decision& decision = {}) override;
  void leave() override;
  void come_back() override;
  void come_back_alone() override;
  [[nodiscard]] Position position() const override { return position_; }
  void set_position(const Position& position) override;
  [[nodiscard]] std::vector<StateVector> state() override;
  [[nodiscard]] std::int64_t job_steps() const override {
    return exchange_.membership().job_steps();
  }
  [[nodiscard]] bool is_synchronous() const override { return false; }
  [[nodiscard]] Counters counters() const override { return exchange_.counters(); }
  [[nodiscard]] std::size_t memory_bytes() const override { return exchange_.memory_bytes(); }

  [[nodiscard]] PairExchange& exchange() noexcept { return exchange_; }

  /// The events that this rank took part in since the start, over those that belong to its steps,
  /// those without communication included. Of paced steps; 1 before the first.
  [[nodiscard]] double events_over_planned() const;

  /// All vectors of the method, the model first, for one of the model's vectors: for
  /// `local_update`.
  [[nodiscard]] std::vector<VectorView> local_state(std::size_t vector) const;

 private:
  /// To a neighbor, where steps are paced.
  struct Edge {
    Rank peer;
    bool is_first;            // of the two; begins what belongs to a step
    bool may_ask;             // between hosts the first one only
    double due;               // events that the next step waits for
    double spare;             // events that this rank takes part in before it
    std::int64_t events = 0;  // at the last step
  };

  [[nodiscard]] static std::vector<Edge> edges_of(const transport::Group& group,
                                                  const topology::Graph& graph, std::uint64_t seed);
  void start_exchanges(double per_step);
  void start_paced();
  void await_exchanges();
  [[nodiscard]] bool is_due(const Edge& edge) const;
  [[nodiscard]] std::string late_peers() const;
  void count_step(bool communicate);
  void count_events();
  void allow_events(double times);
  [[nodiscard]] bool is_halted() const;
  void pass_time();

  std::shared_ptr<const algorithm::PairAlgorithm> algorithm_;
  std::function<void()> local_update_;
  PairWorkerOptions options_;
  Rank rank_;
  std::vector<Rank> neighbors_;
  std::vector<Rank> asked_;  // to choose from: neighbors that this rank starts exchanges with,
                             // twice where it alone does
  double share_;             // of the exchanges of a step that this rank starts, 1 on average
  double events_per_edge_;   // and step
  std::vector<Edge> edges_;  // of paced steps
  double events_ = 0.0;      // up to the last step with communication
  std::int64_t paced_ = 0;   // steps that events belong to
  Position position_;
  bool is_open_ = true;  // the exchange
  PairExchange exchange_;
};

}  // namespace gossip::engine
