// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The record of a training run: its files, its line of progress, its share of a checkpoint.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include <libgossip/base/deadline.h>
#include <libgossip/checkpoint/checkpointer.h>
#include <libgossip/engine/counters.h>
#include <libgossip/model/state_dict.h>
#include <libgossip/optim/decentralized.h>
#include <libgossip/train/metrics.h>
#include <libgossip/train/progress.h>
#include <libgossip/transport/group.h>

namespace gossip::train {

struct RunRecordOptions {
  std::filesystem::path folder = {};  ///< for the files; made unless it exists
  std::string config = {};            ///< what config.toml is to hold: all settings of the run
  std::int64_t epochs = 1;            ///< training epochs of the whole run; at least 1
  std::int64_t steps_per_epoch = 1;   ///< optimizer steps of each rank in one of them; at least 1
  std::int64_t batch_size = 1;        ///< samples of a step of each rank; at least 1
  std::int64_t log_every = 1;         ///< steps of this rank between two step records; at least 1
  Fields settings = {};  ///< for the start record and the result, beyond the fixed ones
  /// The settings that the order of the samples depends on: a checkpoint keeps them, and what was
  /// saved with other values is refused.
  Fields sampling = {};
};

/// Counts samples and time of one rank, writes config.toml, metrics.rank<N>.jsonl and result.json
/// (docs/metrics.md), and shows the progress on rank 0.
///
///     train::RunRecord record(session, {.folder = "runs/a",
///                                       .epochs = 8,
///                                       .steps_per_epoch = shard.steps_per_epoch(),
///                                       .batch_size = 64,
///                                       .log_every = 50});
///     record.start(optimizer, "ring");
///     for (std::int64_t epoch = 1; epoch <= 8; ++epoch) {
///       for (...) {
///         ...; optimizer.step();
///         record.step(optimizer, epoch, loss.item<double>());
///       }
///       train::EpochRecord ended = record.end_epoch(optimizer, epoch);
///       train::evaluate(session, optimizer, test, ended);
///       record.write_epoch(ended);
///     }
///     record.finish(optimizer);
///
/// With checkpoints: `checkpoints.add("record", record.part(optimizer))`, then what
/// Checkpointer::resume() has found is told to start(), and to resumed().
///
/// Collective: start() and finish(), which wait for other ranks as long as the optimizer's timeout
/// says. All else is local and does not block.
/// Threads: one at a time; one record per rank.
/// Errors: gossip::Error, naming the file or folder and the reason, when a file cannot be written.
class RunRecord {
 public:
  /// Touches no file: those in the folder may be of a run that this one must not replace. `group`
  /// must outlive this object. Throws gossip::Error for an option out of range. Local.
  RunRecord(transport::Group& group, RunRecordOptions options);
  RunRecord(const RunRecord&) = delete;
  RunRecord& operator=(const RunRecord&) = delete;

  /// Makes the folder, writes config.toml there (rank 0) and the start record, and what runs where
  /// into the log of rank 0; after a resume `from` a checkpoint the metrics go on behind those of
  /// the earlier run instead. The time of the run begins. `topology` is the name of what the ranks
  /// mix over; "none" without. Collective, blocks; with checkpoints when their folder has been
  /// taken (Checkpointer::start() or resume()). Throws JointError when the folder cannot be
  /// written.
  void start(const optim::Decentralized& optimizer, const std::string& topology,
             const std::optional<checkpoint::Resumed>& from = {});

  /// Sums and counters so far, for a checkpoint. `optimizer` and this object must outlive the
  /// result.
  [[nodiscard]] checkpoint::Checkpointer::Part part(const optim::Decentralized& optimizer);

  /// After a resume, and start(): counts what was done before, and writes the resume record. Local.
  void resumed(const checkpoint::Resumed& from, const checkpoint::Checkpointer& checkpoints,
               const optim::Decentralized& optimizer);

  /// After every step: `loss` is that of this rank's batch, `epoch` the training epoch under way,
  /// from 1. Throws gossip::Error, naming rank and step, when the loss is not a number. Local.
  void step(const optim::Decentralized& optimizer, std::int64_t epoch, double loss);

  /// Ends training epoch `epoch`: what is known without an evaluation. Local.
  [[nodiscard]] EpochRecord end_epoch(const optim::Decentralized& optimizer, std::int64_t epoch);

  /// Writes the record of a training epoch that was evaluated, and starts the next one: the time
  /// since the last step counts as no training. Local.
  void write_epoch(const EpochRecord& record);

  /// Writes result.json (rank 0) with the last epoch that was written, means over the ranks. The
  /// last epoch was evaluated on all ranks or on none. Collective, blocks.
  void finish(const optim::Decentralized& optimizer);

  /// Writes `last`, the record of the last training epoch, and result.json (rank 0) with this
  /// rank's own figures: what can be done when ranks are lost. Local.
  void finish_alone(const optim::Decentralized& optimizer, const EpochRecord& last);

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
  [[nodiscard]] Totals totals(const optim::Decentralized& optimizer) const;
  [[nodiscard]] double images_per_second(const optim::Decentralized& optimizer) const;
  [[nodiscard]] Fields more(const optim::Decentralized& optimizer) const;
  [[nodiscard]] Fields means_of_more(const optim::Decentralized& optimizer) const;
  void check_loss(const optim::Decentralized& optimizer, std::int64_t epoch, double loss);

  transport::Group& group_;
  RunRecordOptions options_;
  Earlier earlier_;
  std::optional<MetricsWriter> metrics_;  // from start() on
  ProgressLine progress_;
  StartRecord start_;
  Fields job_;  // where and with what this process runs
  EpochRecord last_;
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

}  // namespace gossip::train
