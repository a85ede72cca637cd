// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A thread that writes files while others compute.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace gossip::checkpoint {

/// Does jobs in their order, in a thread of its own, which starts with the first. The end waits for
/// all of them. A job that throws keeps none of the others from being done.
///
/// Threads: all functions may be called from any, but from jobs.
class BackgroundWriter {
 public:
  using Job = std::function<void()>;

  /// What a job has thrown.
  struct Failure {
    std::int64_t set = 0;
    std::string why = {};
  };

  BackgroundWriter() = default;
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;
  ~BackgroundWriter();

  /// Does `job`, which is a part of saving the set of that number, after those before. Does not
  /// block.
  void add(std::int64_t set, Job job);

  /// Whether a job has failed that take_failures() has not told of. Does not block.
  [[nodiscard]] bool has_failed() const;

  /// The jobs that have failed since the last call. Does not block.
  [[nodiscard]] std::vector<Failure> take_failures();

  /// The set whose job is being done; nothing when all jobs are done. Does not block.
  [[nodiscard]] std::optional<std::int64_t> current() const;

  /// Blocks until all jobs are done.
  void wait();

  /// The same for so long at most.
  void wait_for(std::chrono::milliseconds most);

 private:
  struct Entry {
    std::int64_t set;
    Job job;
  };

  void run(const std::stop_token& stop);

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Entry> jobs_;  // the first one is being done
  std::vector<Failure> failures_;
  std::jthread thread_;
};

}  // namespace gossip::checkpoint
