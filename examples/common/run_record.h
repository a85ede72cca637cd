// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What a training example writes and shows while it runs.

#include <cstdint>

#include <libgossip/base/deadline.h>
#include <libgossip/checkpoint/checkpointer.h>
#include <libgossip/optim/decentralized.h>
#include <libgossip/runtime/session.h>
#include <libgossip/train/metrics.h>
#include <libgossip/train/progress.h>

#include "common/options.h"

namespace gossip::examples {

/// Counts samples and time, writes the metrics and the result, and shows the progress. One per
/// rank.
class RunRecord {
 public:
  /// Makes the output folder and writes config.toml there (rank 0); the metrics go on behind those
  /// of an earlier run if there is a checkpoint to resume from. Throws gossip::Error when the
  /// folder cannot be written.
  RunRecord(const Options& options, Session& session, std::int64_t steps_per_epoch);

  /// Writes the start record, and what runs where into the log of rank 0. Collective.
  void start(const optim::Decentralized& optimizer, const std::string& topology);

  /// Sums and counters so far, for a checkpoint. `optimizer` and this object must outlive it.
  [[nodiscard]] checkpoint::Checkpointer::Part part(const optim::Decentralized& optimizer);

  /// After a resume, and start(): counts what was done before, and says so in the metrics.
  void resumed(const checkpoint::Resumed& from, const checkpoint::Checkpointer& checkpoints,
               const optim::Decentralized& optimizer);

  /// After every step. Throws gossip::Error, naming rank and step, when the loss is not a number.
  void step(const optim::Decentralized& optimizer, std::int64_t epoch, double loss);

  /// Ends a training epoch: what is known without an evaluation. Local.
  [[nodiscard]] train::EpochRecord end_epoch(const optim::Decentralized& optimizer,
                                             std::int64_t epoch);

  /// Writes the record of a training epoch that was evaluated, and starts the next one.
  void write_epoch(const train::EpochRecord& record);

  /// Writes result.json (rank 0). Collective.
  void finish(const optim::Decentralized& optimizer);

  /// Writes `last`, the record of the last training epoch, and result.json (rank 0) with this
  /// rank's own figures: what can be done when ranks are lost. Local.
  void finish_alone(const optim::Decentralized& optimizer, const train::EpochRecord& last);

 private:
  /// What was done before this process.
  struct Earlier {
    std::int64_t steps = 0;      // that the optimizer does not count
    std::int64_t job_steps = 0;  // the same
    double seconds = 0.0;
    double cpu_seconds = 0.0;  // of the communication thread
    engine::Counters counters = {};
  };

  [[nodiscard]] model::StateDict state(const optim::Decentralized& optimizer) const;
  [[nodiscard]] std::function<void()> plan(model::StateReader& saved);
  [[nodiscard]] std::int64_t steps(const optim::Decentralized& optimizer) const;
  [[nodiscard]] std::int64_t job_steps(const optim::Decentralized& optimizer) const;
  [[nodiscard]] double seconds() const;
  [[nodiscard]] double cpu_seconds() const;
  [[nodiscard]] engine::Counters counters(const optim::Decentralized& optimizer) const;
  [[nodiscard]] train::Totals totals(const optim::Decentralized& optimizer) const;
  [[nodiscard]] double images_per_second(const optim::Decentralized& optimizer) const;
  [[nodiscard]] train::Fields more(const optim::Decentralized& optimizer) const;
  [[nodiscard]] train::Fields means_of_more(const optim::Decentralized& optimizer) const;
  void check_loss(const optim::Decentralized& optimizer, std::int64_t epoch, double loss);

  const Options& options_;
  Session& session_;
  bool is_resumed_;
  Earlier earlier_;
  train::MetricsWriter metrics_;
  train::ProgressLine progress_;
  train::StartRecord start_;
  train::Fields job_;  // where and with what this process runs
  train::EpochRecord last_;
  Clock::time_point begin_ = Clock::now();
  double training_seconds_ = 0.0;  // of the epochs done, without their evaluations
  Clock::time_point epoch_begin_ = Clock::now();
  Clock::time_point last_step_ = Clock::now();
  double loss_since_record_ = 0.0;
  double loss_of_epoch_ = 0.0;
  double last_loss_ = 0.0;
  std::int64_t steps_since_record_ = 0;
  std::int64_t steps_of_epoch_ = 0;
  std::int64_t job_steps_before_ = 0;  // the epoch
};

}  // namespace gossip::examples
