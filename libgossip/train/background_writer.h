// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A thread that writes files while others compute.

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace gossip::train {

/// Does jobs in their order, in a thread of its own, which starts with the first. The end waits for
/// all of them. After a job that throws the others are dropped.
///
/// Threads: all functions may be called from any, but from jobs.
class BackgroundWriter {
 public:
  using Job = std::function<void()>;

  BackgroundWriter() = default;
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;
  ~BackgroundWriter();

  /// Does `job` after those before. Does not block.
  void add(Job job);

  /// Throws what a job threw, once. Does not block.
  void check();

  /// Blocks until all jobs are done; throws as check().
  void wait();

  /// Whether all jobs are done.
  [[nodiscard]] bool is_idle() const;

 private:
  void run(const std::stop_token& stop);

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Job> jobs_;  // the first one is being done
  std::exception_ptr error_;
  std::jthread thread_;
};

}  // namespace gossip::train
