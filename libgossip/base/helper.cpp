// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/helper.h>

namespace gossip {

Helper::Helper() : thread_([this] { run(); }) {}

Helper::~Helper() {
  wait();
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Helper::start(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    GOSSIP_ASSERT(!work_, "work was started before the last was waited for");
    work_ = std::move(work);
  }
  changed_.notify_all();
}

void Helper::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !work_; });
}

void Helper::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return work_ || is_ending_; });
    if (is_ending_) return;
    lock.unlock();
    work_();
    lock.lock();
    work_ = nullptr;
    changed_.notify_all();
  }
}

}  // namespace gossip
