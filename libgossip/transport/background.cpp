// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <ctime>
#include <pthread.h>
#include <utility>

#include <libgossip/base/deadline.h>
#include <libgossip/mpi/serial.h>
#include <libgossip/transport/background.h>

namespace gossip::transport {
namespace {

using std::chrono::microseconds;

constexpr microseconds kUnderWaySleep{100};
constexpr microseconds kIdleSleep{200};
constexpr microseconds kLongIdleSleep{500};
constexpr microseconds kRestingSleep{5000};
constexpr int kLongIdleFrom = 1000;  // looks

double thread_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

struct Background::Entry {
  Look look;
  std::function<void(std::exception_ptr)> on_error;
  bool has_failed = false;
};

Background::~Background() {
  thread_.request_stop();
  wake();
}

std::unique_ptr<Background::Work> Background::add(
    Look look, std::function<void(std::exception_ptr)> on_error) {
  auto entry = std::make_shared<Entry>(std::move(look), std::move(on_error));
  const auto lock = take_turn();
  entries_.push_back(entry);
  if (!thread_.joinable()) {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  return std::make_unique<Work>(*this, std::move(entry));
}

/// The thread would take the mutex again before anybody else wakes up.
std::unique_lock<std::timed_mutex> Background::take_turn() {
  ++waiting_;
  auto lock = mpi::Serial::lock(looking_);
  --waiting_;
  return lock;
}

void Background::wake() {
  {
    const std::lock_guard lock(sleeping_);
    is_woken_ = true;
  }
  alarm_.notify_one();
}

void Background::run(const std::stop_token& stop) {
  pthread_setname_np(pthread_self(), "communication");
  while (!stop.stop_requested()) {
    const Activity activity = look_at_all();
    idle_looks_ = activity <= Activity::kIdle ? idle_looks_ + 1 : 0;
    while (waiting_ > 0) std::this_thread::yield();
    if (activity == Activity::kMoved) {
      std::this_thread::yield();
    } else {
      cpu_seconds_ = thread_cpu_seconds();
      sleep(activity);
    }
  }
}

Activity Background::look_at_all() {
  const std::lock_guard lock(looking_);
  static_cast<void>(RunningClock::now());  // goes on while the other threads compute
  Activity most = Activity::kResting;
  for (const std::shared_ptr<Entry>& entry : entries_) {
    if (entry->has_failed) continue;
    try {
      most = std::max(most, entry->look());
    } catch (...) {
      entry->has_failed = true;
      entry->on_error(std::current_exception());
    }
  }
  return most;
}

void Background::sleep(Activity activity) {
  const microseconds time = activity == Activity::kUnderWay  ? kUnderWaySleep
                            : activity == Activity::kResting ? kRestingSleep
                            : idle_looks_ < kLongIdleFrom    ? kIdleSleep
                                                             : kLongIdleSleep;
  std::unique_lock lock(sleeping_);
  alarm_.wait_for(lock, time, [this] { return is_woken_; });
  is_woken_ = false;
}

Background::Work::Work(Background& background, std::shared_ptr<Entry> entry)
    : background_(background), entry_(std::move(entry)) {}

Background::Work::~Work() {
  const auto lock = background_.take_turn();
  background_.entries_.remove(entry_);
}

}  // namespace gossip::transport
