// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What a run measures, written so that a program can read it: metrics.rank<N>.jsonl and
/// result.json. docs/metrics.md gives the unit and the meaning of every field.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <libgossip/base/file.h>
#include <libgossip/base/types.h>

namespace gossip::train {

/// How a run stands, or ended.
enum class Status {
  kRunning,   ///< "running": not ended yet, or killed
  kComplete,  ///< "complete": all training epochs done
  kDiverged,  ///< "diverged": the loss became NaN or infinite
  kStopped,   ///< "stopped": ended early on request
  kFailed,    ///< "failed": ended by an error
};

/// The word of the files for a status.
[[nodiscard]] std::string_view to_string(Status status);

/// One more pair of a line, beyond the fields that every run has.
struct Field {
  std::string name;
  std::variant<bool, std::int64_t, std::uint64_t, double, std::string> value;
};
using Fields = std::vector<Field>;

/// What is trained, and how. The names are those of the command line.
struct StartRecord {
  std::string optimizer = {};
  std::string topology = {};
  std::string transport = {};
  std::int64_t parameters = 0;  ///< elements of the model's parameters
  Fields extra = {};
};

/// Counters of one rank; all count from the start of the run and never fall.
struct Totals {
  std::int64_t step = 0;     ///< optimizer steps
  std::int64_t samples = 0;  ///< training samples of this rank
  double seconds = 0;        ///< wall time
  std::int64_t gossip_rounds = 0;
  std::int64_t bytes_sent = 0;
  std::int64_t bytes_received = 0;
  double wait_seconds = 0;  ///< of `seconds`: waiting for other ranks
};

/// A moment within a training epoch.
struct StepRecord {
  std::int64_t epoch = 0;  ///< the training epoch under way, from 1
  Totals totals = {};
  double loss = 0;  ///< mean over this rank's batches since its previous step record
  std::optional<double> lr = std::nullopt;                 ///< learning rate of the step just done
  std::optional<double> images_per_second = std::nullopt;  ///< of the whole job
  std::optional<double> consensus_distance = std::nullopt;
  Fields extra = {};
};

/// The end of a training epoch.
struct EpochRecord {
  std::int64_t epoch = 0;  ///< the training epoch just ended, from 1
  Totals totals = {};
  double loss = 0;  ///< mean over this rank's batches of the epoch
  std::optional<double> lr = std::nullopt;
  std::optional<double> test_accuracy_mean_model = std::nullopt;  ///< in [0, 1]
  std::optional<double> test_accuracy_local = std::nullopt;  ///< of this rank's model, in [0, 1]
  std::optional<double> consensus_distance = std::nullopt;
  std::optional<double> images_per_second = std::nullopt;  ///< of the whole job, within the epoch
  Status status = Status::kRunning;
  Fields extra = {};
};

/// A run that goes on from a checkpoint.
struct ResumeRecord {
  std::int64_t epoch = 0;       ///< the training epoch under way, from 1
  Totals totals = {};           ///< as they were when it was saved
  std::string checkpoint = {};  ///< the set's name
  bool is_exact = true;         ///< else from the mean model
  Fields extra = {};
};

/// The whole run. `totals` are means over the ranks.
struct Result {
  StartRecord start = {};
  Status status = Status::kComplete;
  std::int64_t epoch = 0;  ///< training epochs done
  Totals totals = {};
  double loss = 0;  ///< mean over all ranks' batches of the last training epoch
  std::optional<double> lr = std::nullopt;
  std::optional<double> test_accuracy_mean_model = std::nullopt;
  std::optional<double> test_accuracy_local = std::nullopt;  ///< mean over the ranks
  std::optional<double> consensus_distance = std::nullopt;
  std::optional<double> images_per_second = std::nullopt;  ///< of the whole job, over the whole run
  Fields extra = {};
};

/// Writes one rank's records into the output folder of a run.
///
/// Every record becomes one line of metrics.rank<N>.jsonl and is handed to the operating system at
/// once, so that a killed run keeps what it had. Numbers that are NaN or infinite become null;
/// optional ones without a value are left out.
///
///     gossip::train::MetricsWriter metrics(folder, rank, size);
///     metrics.write_start({.optimizer = "gossip-sgd", .topology = "ring", .transport = "shared"});
///     metrics.write_step({.epoch = 1, .totals = totals, .loss = loss, .lr = lr});
///     metrics.write_epoch({.epoch = 1, .totals = totals, .loss = loss, .lr = lr});
///     if (rank == 0) metrics.write_result({.start = start, .totals = means, .loss = loss});
///
/// Local: no call communicates.
/// Threads: calls on one writer must not overlap.
/// Errors: gossip::Error naming the file or folder and the operating system's reason; also when a
/// field of `extra` has the name of a fixed one.
class MetricsWriter {
 public:
  /// Makes `folder` unless it is there and starts this rank's file anew, or goes on in it; where
  /// that is a link, in a copy of what it leads to. Rank 0
  /// also removes the result.json of an earlier run, so that it cannot be taken for this one's,
  /// and, of a run that starts anew, the files of ranks from `size` on.
  MetricsWriter(std::filesystem::path folder, Rank rank, int size,
                LineFile::Start start = LineFile::Start::kAnew);

  void write_resume(const ResumeRecord& record);
  void write_start(const StartRecord& record);
  void write_step(const StepRecord& record);
  void write_epoch(const EpochRecord& record);

  /// Writes result.json under a temporary name, brings it to the disk and renames it once it is
  /// whole. Rank 0 only.
  void write_result(const Result& result);

  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

 private:
  std::filesystem::path folder_;
  Rank rank_;
  int size_;
  LineFile file_;
};

}  // namespace gossip::train
