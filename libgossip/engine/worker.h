// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The one loop that drives an algorithm over a group.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <libgossip/algorithm/algorithm.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/engine/bucketed_mean.h>
#include <libgossip/engine/counters.h>
#include <libgossip/engine/mixer.h>
#include <libgossip/engine/presence.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

struct WorkerOptions {
  std::chrono::milliseconds timeout = std::chrono::minutes(5);  ///< of every wait for another rank
  std::size_t bucket_bytes = std::size_t{4} << 20U;             ///< of exact means
};

/// Where a worker stands; what it has to save and load besides its vectors.
struct Position {
  std::int64_t step = 0;   ///< steps finished
  std::int64_t round = 0;  ///< rounds of the schedule used
};

/// One worker of a decentralized method. A step is prepare(), the caller's gradient at the model,
/// finish().
///
/// Collective: construction and destruction; prepare() and finish() wait for this step's neighbors
/// only. Threads: one per rank.
class Worker {
 public:
  /// The memory that an algorithm's vectors lie in: one view an element type. Must outlive the
  /// worker.
  struct Vectors {
    std::vector<VectorView> model;
    std::vector<VectorView> gradient;  ///< may be empty where the algorithm does not send it
  };

  /// What the caller does when a stage asks for it.
  struct Caller {
    std::function<void()> local_update;      ///< changes the model by the gradient
    std::function<void()> average_gradient;  ///< kMean; empty: gradient_mean()->finish()
  };

  /// Throws gossip::Error on every rank when the schedule is not what the algorithm needs; warns
  /// when it does not connect all ranks.
  Worker(transport::Group& group, std::unique_ptr<const algorithm::Algorithm> algorithm,
         topology::Schedule schedule, Vectors vectors, Caller caller,
         const WorkerOptions& options = {});

  /// The stages of the next step that come before the gradient. Without `communicate` only the
  /// local ones: no round is used.
  void prepare(bool communicate = true);

  /// The stages after the gradient, which end the step.
  void finish(bool communicate = true);

  /// This rank leaves the training loop, for a collective call or for good, and comes back to it: a
  /// rank that waits for this one's next step gets an error instead of waiting on. Local.
  void leave() { presence_.leave(position_.step); }
  void come_back() { presence_.come_back(); }

  [[nodiscard]] const Position& position() const noexcept { return position_; }
  void set_position(const Position& position) { position_ = position; }

  [[nodiscard]] const algorithm::Algorithm& algorithm() const noexcept { return *algorithm_; }
  [[nodiscard]] Counters counters() const;

  /// The mean of the gradient, to be started early bucket by bucket; null when the algorithm does
  /// not take it.
  [[nodiscard]] BucketedMean* gradient_mean() {
    return gradient_mean_ ? &*gradient_mean_ : nullptr;
  }

  /// The buckets of gradient_mean(), in the order in which they start: the end of the gradient
  /// first, as backward passes complete it.
  [[nodiscard]] const std::vector<VectorView>& gradient_buckets() const {
    return gradient_buckets_;
  }

  /// Bytes of memory for communication on this rank, the caller's vectors not counted.
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  void run(const algorithm::Stage& stage, bool communicate);

  std::unique_ptr<const algorithm::Algorithm> algorithm_;
  Caller caller_;
  Position position_;
  Presence presence_;
  std::int64_t needed_step_ =
      -1;  // the step that other ranks must have come to for this rank to go on
  std::vector<VectorView> gradient_buckets_;
  std::optional<BucketedMean> gradient_mean_;
  std::optional<Mixer> model_mixer_;
};

}  // namespace gossip::engine
