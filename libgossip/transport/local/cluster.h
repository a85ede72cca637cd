// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A group whose ranks are threads of one process: the reference, and the place for faults.

#include <chrono>
#include <memory>

#include <libgossip/transport/group.h>
#include <libgossip/transport/local/faults.h>

namespace gossip::transport::local {

/// What the threads of one group share. Make one, then give group(rank) to each thread; groups may
/// outlive it.
///
///     local::Cluster cluster(4);
///     // on thread r:
///     const std::unique_ptr<Group> group = cluster.group(r);
class Cluster {
 public:
  /// `timeout` ends every collective wait with TimeoutError, so that one thread's exception does
  /// not hang the others.
  explicit Cluster(int size, std::chrono::milliseconds timeout = std::chrono::minutes(1));

  [[nodiscard]] std::unique_ptr<Group> group(Rank rank) const;

  /// The faults on this cluster's channels. Set `delay` and `drop` before the first channel is
  /// made.
  [[nodiscard]] Faults& faults();

 private:
  struct Shared;
  friend class LocalGroup;
  std::shared_ptr<Shared> shared_;
};

}  // namespace gossip::transport::local
