// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What the optimizers of pair events share.

#include <memory>
#include <utility>

#include <libgossip/algorithm/pair_algorithm.h>
#include <libgossip/engine/pairs/pair_worker.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/topology/union_graph.h>
#include <libgossip/transport/group.h>

namespace gossip::optim::detail {

/// The plan (see Decentralized) that drives the algorithm `make` gives for the schedule's graph.
template <class Make>
auto pair_plan(transport::Group& group, const topology::Schedule& schedule, Make make,
               const engine::PairWorkerOptions& options) {
  return [&group, schedule, make = std::move(make), options] {
    const topology::Graph graph = topology::union_graph(schedule);
    const std::shared_ptr<const algorithm::PairAlgorithm> algorithm = make(graph);
    return [&group, graph, algorithm,
            options](engine::ModelPort& port) -> std::unique_ptr<engine::Worker> {
      return std::make_unique<engine::PairWorker>(group, algorithm, graph, port, options);
    };
  };
}

}  // namespace gossip::optim::detail
