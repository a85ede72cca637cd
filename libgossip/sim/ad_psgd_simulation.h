// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// AD-PSGD with the stale gradients of its paper, in virtual events.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/base/random.h>
#include <libgossip/sim/pair_simulation.h>
#include <libgossip/topology/graph.h>

namespace gossip::sim {

/// Event k of AD-PSGD: a worker i, uniform among all (u1), has finished a gradient at the model
/// that it read at the end of its last event; it averages with a neighbor j, uniform among its own
/// (u2, neighbors in order), and adds the local step. Others may have averaged with i in between,
/// so the gradient is stale by as much as in the asynchronous method. The same seed gives the same
/// events.
///
/// Local; one thread.
class ADPSGDSimulation {
 public:
  /// All models are 0. Throws gossip::Error unless `graph` is undirected and every worker has a
  /// neighbor.
  ADPSGDSimulation(const topology::Graph& graph, std::size_t num_elements, std::uint64_t seed);

  /// One event. `local_step` gets the model that i had read.
  void step(const PairSimulation::LocalStep& local_step);

  [[nodiscard]] int size() const noexcept { return group_.size(); }
  [[nodiscard]] std::span<const double> model(Rank worker) const { return group_.model(worker); }
  [[nodiscard]] double squared_consensus_distance() const {
    return group_.squared_consensus_distance();
  }

 private:
  topology::Graph graph_;
  algorithm::ADPSGD algorithm_;
  PairSimulation group_;
  SplitMix64 generator_;
  std::vector<double> read_;  // [worker][element]: the model at the end of the worker's last event
  std::vector<double> increment_;
};

}  // namespace gossip::sim
