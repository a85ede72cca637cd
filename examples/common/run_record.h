// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What a training example writes and shows while it runs.

#include <cstdint>

#include <libgossip/base/deadline.h>
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
  /// Makes the output folder and writes config.toml there (rank 0). Throws gossip::Error when the
  /// folder cannot be written.
  RunRecord(const Options& options, Session& session, std::int64_t steps_per_epoch);

  /// Writes the start record, and what runs where into the log of rank 0. Collective.
  void start(const optim::Decentralized& optimizer, const std::string& topology);

  /// After every step. Throws gossip::Error, naming rank and step, when the loss is not a number.
  void step(const optim::Decentralized& optimizer, std::int64_t epoch, double loss);

  /// Ends a training epoch: what is known without an evaluation. Local.
  [[nodiscard]] train::EpochRecord end_epoch(const optim::Decentralized& optimizer,
                                             std::int64_t epoch);

  /// Writes the record of a training epoch that was evaluated, and starts the next one.
  void write_epoch(const train::EpochRecord& record);

  /// Writes result.json (rank 0). Collective.
  void finish(const optim::Decentralized& optimizer);

 private:
  [[nodiscard]] train::Totals totals(const optim::Decentralized& optimizer) const;
  [[nodiscard]] double images_per_second(const optim::Decentralized& optimizer) const;
  [[nodiscard]] train::Fields more(const optim::Decentralized& optimizer) const;
  [[nodiscard]] train::Fields means_of_more(const optim::Decentralized& optimizer) const;
  void check_loss(const optim::Decentralized& optimizer, std::int64_t epoch, double loss);

  const Options& options_;
  Session& session_;
  train::MetricsWriter metrics_;
  train::ProgressLine progress_;
  train::StartRecord start_;
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
