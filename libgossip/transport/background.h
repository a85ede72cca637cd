// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The communication thread.

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

namespace gossip::transport {

/// What one look at some work found.
enum class Activity {
  kResting,   ///< nothing to do for the next milliseconds, unless wake() is called
  kIdle,      ///< nothing to do
  kUnderWay,  ///< something is on its way, but did not move
  kMoved,     ///< something moved: look again soon
};

/// One thread that looks at all communication of a rank in turn, and sleeps in between: 100 us
/// while something is under way, up to 500 us when nothing is, 5 ms where all work rests, so that
/// it takes little from the threads that compute. It starts with the first work; debuggers and
/// `top -H` call it "communication".
///
/// Threads: all member functions may be called by any thread.
class Background {
 public:
  using Look = std::function<Activity()>;

  Background() = default;
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background();

  /// Work that is looked at as long as the result lives. The end of the result waits until the
  /// thread does not look, and ends the process with a message where the thread does not come back
  /// from MPI any more (mpi::Serial says when). An exception from `look` ends that work; `on_error`
  /// hears of it, in the thread.
  class Work;
  [[nodiscard]] std::unique_ptr<Work> add(Look look,
                                          std::function<void(std::exception_ptr)> on_error);

  /// Ends the thread's sleep: there is something to do.
  void wake();

  /// Processor time that the thread has used so far.
  [[nodiscard]] double cpu_seconds() const noexcept { return cpu_seconds_; }

 private:
  struct Entry;

  void run(const std::stop_token& stop);
  Activity look_at_all();
  void sleep(Activity activity);

  [[nodiscard]] std::unique_lock<std::timed_mutex> take_turn();

  std::timed_mutex looking_;     // held while the thread looks at work, and to change the list
  std::atomic<int> waiting_{0};  // for that, with precedence over the thread
  std::list<std::shared_ptr<Entry>> entries_;
  std::mutex sleeping_;
  std::condition_variable_any alarm_;
  bool is_woken_ = false;
  int idle_looks_ = 0;
  std::atomic<double> cpu_seconds_{0.0};
  std::jthread thread_;
};

/// See Background::add().
class Background::Work {
 public:
  Work(Background& background, std::shared_ptr<Entry> entry);
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  ~Work();

 private:
  Background& background_;
  std::shared_ptr<Entry> entry_;
};

}  // namespace gossip::transport
