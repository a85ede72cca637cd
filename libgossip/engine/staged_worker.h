// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The driver of methods whose steps are stages.

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
#include <libgossip/engine/worker.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

struct StagedWorkerOptions {
  std::chrono::milliseconds timeout = std::chrono::minutes(5);  ///< of every wait for another rank
  std::size_t bucket_bytes = std::size_t{4} << 20U;             ///< of exact means
  OnLostNeighbor on_lost_neighbor = OnLostNeighbor::kError;     ///< of mixings
};

/// Drives an Algorithm: its ranks go through the same steps and rounds.
///
/// Collective: construction and destruction; prepare() and finish() wait for this step's neighbors
/// only. Threads: one per rank.
class StagedWorker final : public Worker {
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
  StagedWorker(transport::Group& group, std::shared_ptr<const algorithm::Algorithm> algorithm,
               topology::Schedule schedule, Vectors vectors, Caller caller,
               const StagedWorkerOptions& options = {});

  /// The stages of the next step that come before the gradient. Without `communicate` only the
  /// local ones: no round is used.
  void prepare(bool communicate = true) override;

  /// The stages after the gradient, which end the step.
  void finish(bool communicate = true) override;

  void leave() override { presence_->leave(position_.step); }
  void come_back() override { presence_->come_back(); }

  [[nodiscard]] Position position() const override { return position_; }
  void set_position(const Position& position) override { position_ = position; }
  [[nodiscard]] std::int64_t job_steps() const override { return position_.step * ranks_; }

  [[nodiscard]] const algorithm::Algorithm& algorithm() const noexcept { return *algorithm_; }
  [[nodiscard]] Counters counters() const override;

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

  [[nodiscard]] std::size_t memory_bytes() const override;

 private:
  void run(const algorithm::Stage& stage, bool communicate);

  std::shared_ptr<const algorithm::Algorithm> algorithm_;
  Caller caller_;
  int ranks_;
  Position position_;
  std::optional<Presence> presence_;
  std::int64_t needed_step_ =
      -1;  // the step that other ranks must have come to for this rank to go on
  std::vector<VectorView> gradient_buckets_;
  std::optional<BucketedMean> gradient_mean_;
  std::optional<Mixer> model_mixer_;
};

}  // namespace gossip::engine
