// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The driver of averaging with whatever models of the neighbors are at hand.

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <tuple>
#include <vector>

#include <libgossip/algorithm/async_gossip.h>
#include <libgossip/base/message_layout.h>
#include <libgossip/engine/membership.h>
#include <libgossip/engine/model_port.h>
#include <libgossip/engine/worker.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

struct AsyncGossipWorkerOptions {
  double exponent = algorithm::AsyncGossip::kExponent;          ///< of the damping by staleness
  std::chrono::milliseconds timeout = std::chrono::minutes(5);  ///< of a neighbor's silence
  policy::OnLostNeighbor on_lost_neighbor = policy::OnLostNeighbor::kError;
};

/// Drives algorithm::AsyncGossip: after each local update a rank publishes its model and mixes with
/// the newest models of its in-neighbors of its round, weighted by their staleness. It never waits:
/// a publication for which no memory is free is left out and counted as skipped. After a pause it
/// mixes only what was published since: the ranks may have loaded another state.
///
/// The mean over the ranks is not conserved: where there are no gradients all models stay within
/// the range that the first ones span, and meet at some point of it.
///
/// A neighbor is silent while it publishes nothing new and has not left. kDrop: a silent one is not
/// mixed any more, and the own model keeps its weight.
///
/// Ages (Counters::ages): own steps since the model that is mixed was first seen.
///
/// Memory: three copies of the model, and two more for each neighbor on another host.
///
/// Collective: construction, leave() and destruction. Threads: one per rank.
class AsyncGossipWorker final : public Worker {
 public:
  /// Throws gossip::Error on every rank when the schedule is for
  /// another number of ranks or is not row stochastic, or when an option is out of range; warns
  /// when it does not connect all ranks.
  AsyncGossipWorker(transport::Group& group, topology::Schedule schedule, ModelPort& port,
                    const AsyncGossipWorkerOptions& options = {});

  void prepare(const policy::Decision& decision = {}) override { check_plain(decision); }
  void finish(const policy::Decision& decision = {}) override;
  void leave() override;
  void come_back() override;
  void come_back_alone() override;
  [[nodiscard]] Position position() const override { return position_; }
  void set_position(const Position& position) override;
  [[nodiscard]] std::int64_t job_steps() const override { return membership_.job_steps(); }
  [[nodiscard]] bool is_synchronous() const override { return false; }
  [[nodiscard]] Counters counters() const override;
  [[nodiscard]] std::size_t memory_bytes() const override;

 private:
  /// What is known of one neighbor.
  struct Sighting {
    std::uint64_t sequence = 0;   // of its newest model
    std::int64_t first_seen = 0;  // own step
  };

  void publish(std::span<std::byte> slot);
  void mix(std::int64_t round);
  void look_at(const topology::Neighbor& sender);
  [[nodiscard]] bool is_lost(Rank sender, bool has_news);

  transport::Group& group_;
  topology::Schedule schedule_;
  std::vector<VectorView> model_;
  ModelPort& port_;
  AsyncGossipWorkerOptions options_;
  std::vector<Rank> peers_;  // made by the checks, first
  algorithm::AsyncGossip algorithm_;
  Membership membership_;
  MessageLayout layout_;
  Position position_;
  Counters counters_;
  std::int64_t pauses_ = 0;  // that have begun on all ranks; models tell that of their sender
  std::vector<Sighting> sightings_;              // by rank
  std::unique_ptr<transport::Channel> channel_;  // none for one rank
  // Kept between steps so that a step allocates nothing.
  topology::Neighborhood neighborhood_;
  std::vector<transport::Message> messages_;
  std::vector<double> weights_;  // of the messages
  std::tuple<std::vector<kernels::Source<float>>, std::vector<kernels::Source<double>>> sources_;
};

}  // namespace gossip::engine
