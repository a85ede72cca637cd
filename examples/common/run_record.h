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

  void start(const optim::Decentralized& optimizer, const std::string& topology);

  /// After every step. Throws gossip::Error, naming rank and step, when the loss is not a number.
  void step(const optim::Decentralized& optimizer, std::int64_t epoch, double loss);

  /// After the evaluation of every epoch; accuracies in [0, 1]. Collective.
  void epoch(const optim::Decentralized& optimizer, std::int64_t epoch, double accuracy_mean_model,
             double accuracy_local, double consensus_distance);

  /// Writes result.json (rank 0). Collective.
  void finish(const optim::Decentralized& optimizer);

 private:
  [[nodiscard]] train::Totals totals(const optim::Decentralized& optimizer) const;
  [[nodiscard]] double images_per_second() const;
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
  std::int64_t steps_since_record_ = 0;
  std::int64_t steps_of_epoch_ = 0;
};

}  // namespace gossip::examples
