// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The driver of methods whose workers meet in pairs.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <libgossip/algorithm/pair_algorithm.h>
#include <libgossip/engine/model_port.h>
#include <libgossip/engine/pairs/pacing.h>
#include <libgossip/engine/worker.h>
#include <libgossip/topology/graph.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

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
  /// `graph` is undirected. The model has to move to model_memory(), and the port's local update
  /// changes it there: of methods that are not relative all of local_state().
  PairWorker(transport::Group& group, std::shared_ptr<const algorithm::PairAlgorithm> algorithm,
             const topology::Graph& graph, ModelPort& port, const PairWorkerOptions& options = {});
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

  /// As Pacing says: of paced steps; 1 before the first.
  [[nodiscard]] double events_over_planned() const { return pacing_->events_over_planned(); }

  /// All vectors of the method, the model first, for one of the model's vectors: for
  /// the local update.
  [[nodiscard]] std::vector<VectorView> local_state(std::size_t vector) const;

 private:
  void pass_time();

  std::shared_ptr<const algorithm::PairAlgorithm> algorithm_;
  ModelPort& port_;
  bool is_alone_;  // in its group
  Position position_;
  bool is_open_ = true;  // the exchange
  PairExchange exchange_;
  std::unique_ptr<Pacing> pacing_;
};

}  // namespace gossip::engine
