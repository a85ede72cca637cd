// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file Stand-ins of training between hosts: steps that wait or compute, write all parameters and
/// communicate, or do not.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <libgossip/engine/pairs/pair_worker.h>
#include <libgossip/engine/plain_port.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/transport/group.h>

#include "measure.h"

namespace gossip::bench {

/// What takes the time of a forward and backward pass.
using Pass = std::function<void()>;

/// Waits, as for a GPU.
[[nodiscard]] Pass waiting_pass(std::chrono::milliseconds time);

/// Computes on one core, the same on all ranks: `time` of it on rank 0 when nothing disturbs.
/// Collective.
[[nodiscard]] Pass computing_pass(transport::Group& group, std::chrono::milliseconds time);

/// What some steps of one rank took and brought, totals of the rank.
struct Walk {
  double seconds = 0.0;
  double steps = 0.0;
  double pass_seconds = 0.0;
  double update_seconds = 0.0;  ///< writing all parameters once
  double wait_seconds = 0.0;    ///< gossip: for chunks that an event holds; all-reduce: all of it
  double merge_seconds = 0.0;   ///< gossip: taking in what events did
  double exchanges = 0.0;       ///< started
  double skipped = 0.0;         ///< not started: the last with that neighbor was under way
  double bytes_averaged = 0.0;
  double thread_seconds = 0.0;  ///< processor time of the communication thread

  [[nodiscard]] double pace() const { return steps / seconds; }
};

/// A way to train. Collective: all member functions.
class Trainer {
 public:
  Trainer() = default;
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;
  virtual ~Trainer() = default;

  [[nodiscard]] virtual std::string name() const = 0;

  /// Steps for about so many seconds.
  [[nodiscard]] virtual Walk run(const Pass& pass, double seconds) = 0;
};

[[nodiscard]] std::unique_ptr<Trainer> make_no_communication(std::size_t bytes);

/// `all_reduce` writes the ranks' gradients together to `gradient`.
[[nodiscard]] std::unique_ptr<Trainer> make_all_reduce_trainer(transport::Group& group,
                                                               std::span<const float> gradient,
                                                               Contender all_reduce);

/// AD-PSGD on a ring.
class GossipTrainer final : public Trainer {
 public:
  GossipTrainer(transport::Group& group, std::size_t bytes, double exchanges_per_step);

  [[nodiscard]] std::string name() const override { return "gossip, AD-PSGD on a ring"; }
  [[nodiscard]] Walk run(const Pass& pass, double seconds) override;

  /// Of all exchanges so far that this rank started.
  [[nodiscard]] engine::Ages ages() const { return worker_.counters().ages; }

 private:
  [[nodiscard]] Walk totals() const;

  transport::Group& group_;
  std::vector<float> gradient_;
  double update_seconds_ = 0.0;
  engine::PlainPort port_;
  engine::PairWorker worker_;
};

}  // namespace gossip::bench
