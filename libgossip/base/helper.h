// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A thread beside the caller's.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace gossip {

/// Does one thing at a time while the caller does something else, and sleeps in between.
///
/// Threads: one calls start() and wait(). The end waits for what was started.
class Helper {
 public:
  Helper();
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  ~Helper();

  /// Does `work`, which must not throw, and returns at once. What was started before must have been
  /// waited for.
  void start(std::function<void()> work);

  /// Blocks until it is done, if there is anything.
  void wait();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> work_;  // empty: none
  bool is_ending_ = false;
  std::thread thread_;
};

}  // namespace gossip
