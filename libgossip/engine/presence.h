// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Which ranks still train: so that nobody waits for one that does not.

#include <cstdint>
#include <memory>
#include <vector>

#include <libgossip/topology/graph.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

/// Every rank says when it leaves the training loop, for a collective call or for good, and after
/// how many steps; a rank that waits for another learns that it will not come.
///
/// Between hosts with more than 256 peers it tells nothing, and such a wait ends by its timeout.
///
/// Collective: construction and destruction. Everything else is local and does not block.
/// Threads: one per rank.
class Presence {
 public:
  /// Among ranks that all wait for all.
  explicit Presence(transport::Group& group);

  /// Among ranks that wait for their neighbors.
  Presence(transport::Group& group, const topology::Graph& neighbors);

  /// This rank made `steps` steps and leaves the loop, or comes back to it. All ranks leave equally
  /// often, but for absences that end with come_back_alone().
  void leave(std::int64_t steps);
  void come_back();
  void come_back_alone();

  /// For waits of this rank's step number `step` (from 0): throws gossip::Error, naming the rank,
  /// when one has left the loop before that step and for something that this rank has not come to.
  void check(std::int64_t step);

 private:
  struct State {
    std::int64_t steps = 0;     // made when leaving
    std::int64_t absences = 0;  // with the others, the present one included
  };

  void open();
  void publish(transport::MessageKind kind);

  transport::Group& group_;
  std::vector<Rank> peers_;
  State own_;
  std::unique_ptr<transport::Channel> channel_;
};

}  // namespace gossip::engine
