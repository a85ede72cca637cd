// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The pacing of steps and pair exchanges.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include <libgossip/algorithm/pair_algorithm.h>
#include <libgossip/engine/pairs/pair_exchange.h>
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
  policy::OnLostNeighbor on_lost_neighbor = policy::OnLostNeighbor::kError;
};

/// When a rank asks for exchanges, and what its steps wait for. Threads: the rank's own.
///
/// - Free: after each step the rank asks random neighbors for exchanges, and nothing waits for
///   them.
/// - Paced: all edges take their turns, steps wait for the rank's events with each neighbor, and
///   between two of its steps a rank takes part in about twice as many.
class Pacing {
 public:
  Pacing() = default;
  Pacing(const Pacing&) = delete;
  Pacing& operator=(const Pacing&) = delete;
  virtual ~Pacing() = default;

  /// The rank enters the training loop, at first or again; the exchange is closed.
  virtual void resume() {}

  /// Before the gradient of a step that communicates; the exchange is closed. May block, up to
  /// twice the timeout; throws TimeoutError.
  virtual void await_exchanges() {}

  /// A step has made its local update, and the exchange is open still.
  virtual void count_step(bool /*communicates*/) {}

  /// Throws gossip::Error unless so many exchanges may be decided for a step.
  virtual void check_exchanges(double exchanges) const = 0;

  /// Asks for the exchanges that follow step number `step` (from 1), which communicates: as many as
  /// were decided, on average over the ranks, if that was; the exchange is closed.
  virtual void start_exchanges(std::int64_t step, const std::optional<double>& decided) = 0;

  /// The events that this rank took part in since the start, over those that belong to its steps.
  [[nodiscard]] virtual double events_over_planned() const { return 1.0; }
};

/// The exchange that suits `options`: peers, the time between events, and whether events are
/// atomic. Throws gossip::Error on all ranks for a graph, a method and options that do not go
/// together: this and make_pacing() alone know what is free and what is paced. Collective.
[[nodiscard]] PairExchangeOptions exchange_options(transport::Group& group,
                                                   const algorithm::PairAlgorithm& algorithm,
                                                   const topology::Graph& graph,
                                                   const PairWorkerOptions& options);

/// `exchange` was made with exchange_options() of the same arguments, and outlives the result.
/// Local.
[[nodiscard]] std::unique_ptr<Pacing> make_pacing(const transport::Group& group,
                                                  const topology::Graph& graph,
                                                  const PairWorkerOptions& options,
                                                  PairExchange& exchange);

}  // namespace gossip::engine
