// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The driver of methods whose steps are stages.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <libgossip/algorithm/algorithm.h>
#include <libgossip/algorithm/combiner.h>
#include <libgossip/algorithm/interpret.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/engine/membership.h>
#include <libgossip/engine/model_port.h>
#include <libgossip/engine/rounds/bucketed_mean.h>
#include <libgossip/engine/rounds/mixer.h>
#include <libgossip/engine/worker.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

struct StagedWorkerOptions {
  std::chrono::milliseconds timeout = std::chrono::minutes(5);  ///< of every wait for another rank
  std::size_t bucket_bytes = std::size_t{4} << 20U;             ///< of exact means
  policy::OnLostNeighbor on_lost_neighbor = policy::OnLostNeighbor::kError;  ///< of mixings
  std::shared_ptr<kernels::Codec> codec = {};                                ///< of Compress
  bool checks_matrices = true;  ///< refuses what the method does not bear
  /// Mixings use an edge when both ends took the other's value, and so keep the mean of all,
  /// whatever each rank's wait policy takes. The same on all ranks: each waits for its neighbors'
  /// word, also for that of one without a policy.
  bool closes_as_agreed = false;
};

/// Drives an Algorithm: its ranks go through the same steps and rounds.
///
/// Memory: the method's own vectors, for what is mixed that of a Mixer, and for what a mean is
/// taken of a copy, unless it is the gradient with memory of its own.
///
/// When a wait throws, the step is not finished: the worker can be destroyed, and the model is the
/// one of before the mean or mixing, but the next step would not be that of the other ranks.
///
/// Collective: construction and destruction; prepare() and finish() wait for this step's neighbors
/// only. Threads: one per rank.
class StagedWorker final : public Worker {
 public:
  /// Throws gossip::Error on every rank when the schedule is not what the algorithm needs; warns
  /// when it does not connect all ranks.
  StagedWorker(transport::Group& group, std::shared_ptr<const algorithm::Algorithm> algorithm,
               const topology::Matrices& matrices, ModelPort& port,
               const StagedWorkerOptions& options = {});

  /// The stages of the next step that come before the gradient. Where it does not communicate only
  /// the local ones: no round is used.
  void prepare(const policy::Decision& decision = {}) override;

  /// Of a step without communication that a method cannot make: the end of a round whose mean goes
  /// into other vectors; and of a learning rate that is none, where the method needs it.
  void check_finish(const policy::Decision& decision) const override;

  /// The stages after the gradient, which end the step. Throws what check_finish() does, before
  /// anything is changed.
  void finish(const policy::Decision& decision = {}) override;

  void leave() override;
  void come_back() override { membership_->come_back(); }
  void come_back_alone() override { membership_->come_back_alone(); }

  [[nodiscard]] Position position() const override { return position_; }
  void set_position(const Position& position) override;
  [[nodiscard]] std::int64_t job_steps() const override { return position_.step * ranks_; }

  [[nodiscard]] bool needs_gradient() const override;

  [[nodiscard]] std::vector<StateVector> state() override;
  [[nodiscard]] bool is_synchronous() const override { return true; }
  [[nodiscard]] Counters counters() const override;

  /// The mean of the gradient, to be started early bucket by bucket; null when the algorithm does
  /// not take it.
  [[nodiscard]] BucketedMean* gradient_mean();

  /// The buckets of gradient_mean(), in the order in which they start: the end of the gradient
  /// first, as backward passes complete it.
  [[nodiscard]] const std::vector<VectorView>& gradient_buckets() const;

  [[nodiscard]] std::size_t memory_bytes() const override;

 private:
  /// What mixes the vectors that travel together.
  struct Exchange {
    algorithm::Mix mix;
    std::unique_ptr<Mixer> mixer;
  };
  /// What takes the mean of a vector, or of a fragment of it.
  struct MeanOf {
    algorithm::Mean stage;
    std::vector<VectorView> buckets;
    std::unique_ptr<BucketedMean> mean;
  };
  using Stages = algorithm::Stages;

  /// The stages of the next step.
  [[nodiscard]] Stages stages() const { return algorithm_->stages(position_.step, computes_); }
  void make_state(const std::vector<VectorView>& shapes);
  void make_membership(transport::Group& group, const topology::Matrices& matrices,
                       const StagedWorkerOptions& options);
  void make_exchange(transport::Group& group, const algorithm::Mix& stage,
                     const topology::Matrices& matrices, const StagedWorkerOptions& options);
  void make_mean(transport::Group& group, const algorithm::Mean& stage,
                 const StagedWorkerOptions& options);
  [[nodiscard]] Exchange* exchange_of(const algorithm::Mix& stage);
  [[nodiscard]] MeanOf* mean_of(const algorithm::Mean& stage);
  [[nodiscard]] std::vector<VectorView> views_of(const std::vector<int>& vectors) const;
  void run(Stages stages);
  void run(const algorithm::Evaluate& /*stage*/) {}  // the caller has done it
  void run(const algorithm::LocalUpdate& stage);
  void run(const algorithm::Combinations& stages);
  void run(const algorithm::Compress& stage);
  void run(const algorithm::Mix& stage);
  void run(const algorithm::Mean& stage);
  void check_wait(const policy::Decision& decision) const;
  void settle();
  void open_messages(Stages stages);
  void load_gradient(const algorithm::Combinations& stages);
  [[nodiscard]] double learning_rate() const;
  [[nodiscard]] double mean_rate() const;

  std::shared_ptr<const algorithm::Algorithm> algorithm_;
  ModelPort& port_;
  int ranks_;
  bool uses_rate_;
  bool keeps_mean_ = false;  // whatever rounds close without
  Position position_;
  std::optional<Membership> membership_;  // made by the checks
  std::int64_t needed_step_ =
      -1;  // the step that other ranks must have come to for this rank to go on
  algorithm::Combiner::Vectors vectors_;
  algorithm::Combiner combiner_{vectors_};
  std::vector<std::vector<std::byte>> memory_;  // of the method's own vectors
  std::vector<Exchange> exchanges_;
  std::vector<MeanOf> means_;
  Counters counters_;                   // of bringing the gradient up to date
  bool computes_ = true;                // in this step
  bool communicates_ = true;            // in what is under way of it
  policy::WaitPolicy* wait_ = nullptr;  // in the same
  bool has_communicated_ = false;       // in this step
  bool is_gradient_loaded_ = false;
  bool is_gradient_changed_ = false;
  const std::vector<VectorPiece>* gradient_ = nullptr;  // where it lies, if in pieces
};

}  // namespace gossip::engine
