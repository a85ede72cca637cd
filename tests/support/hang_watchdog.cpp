// SPDX-License-Identifier: Apache-2.0
#include "support/hang_watchdog.h"

#include <cstdio>
#include <unistd.h>

namespace gossip::test {

HangWatchdog::HangWatchdog(int rank, int size, std::chrono::seconds limit)
    : rank_(rank),
      size_(size),
      limit_(limit),
      deadline_(std::chrono::steady_clock::now() + limit),
      thread_([this] { watch(); }) {}

HangWatchdog::~HangWatchdog() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_one();
  thread_.join();
}

void HangWatchdog::now(const std::string& what) {
  const std::lock_guard lock(mutex_);
  what_ = what;
}

void HangWatchdog::failed(const std::string& failure) {
  const std::lock_guard lock(mutex_);
  failures_ += failure;
}

void HangWatchdog::forget_failures() {
  const std::lock_guard lock(mutex_);
  failures_.clear();
}

void HangWatchdog::watch() {
  std::unique_lock lock(mutex_);
  if (!stopping_.wait_until(lock, deadline_, [this] { return stop_; })) end_process();
}

void HangWatchdog::end_process() {
  // One call, so that lines of several ranks do not mix.
  std::fprintf(stderr, "[  HANG    ] after %lld s rank %d of %d %s\n%s",
               static_cast<long long>(limit_.count()), rank_, size_, what_.c_str(),
               failures_.c_str());
  std::fflush(stderr);
  // The others hit their limit at about the same time: let them speak before the launcher ends
  // them.
  std::this_thread::sleep_for(std::chrono::seconds(3));
  // Not MPI_Abort: the main thread may be inside MPI, which was not asked for MPI_THREAD_MULTIPLE.
  ::_exit(kExitStatus);
}

}  // namespace gossip::test
