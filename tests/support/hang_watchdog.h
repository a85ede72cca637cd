// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Ends a rank test that hangs, and says where.

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace gossip::test {

/// Ends this process, and with it the job, when the program has run longer than `limit`. Before
/// that every rank prints on standard error which test it is in, whether it reached that test's
/// end, and the failures that it had so far.
///
/// Threads: all functions may be called at any time.
class HangWatchdog {
 public:
  /// The exit status of a process that the watchdog ended.
  static constexpr int kExitStatus = 86;

  HangWatchdog(int rank, int size, std::chrono::seconds limit);
  HangWatchdog(const HangWatchdog&) = delete;
  HangWatchdog& operator=(const HangWatchdog&) = delete;
  ~HangWatchdog();

  /// This rank now does `what` ("is in the body of Ring.Closes").
  void now(const std::string& what);

  /// This rank had a failure that the other ranks have not heard of yet.
  void failed(const std::string& failure);

  /// All ranks know the failures so far.
  void forget_failures();

 private:
  void watch();
  [[noreturn]] void end_process();

  const int rank_;
  const int size_;
  const std::chrono::seconds limit_;
  const std::chrono::steady_clock::time_point deadline_;
  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  std::string what_ = "is starting";
  std::string failures_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace gossip::test
