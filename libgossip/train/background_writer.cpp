// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/train/background_writer.h>

namespace gossip::train {

BackgroundWriter::~BackgroundWriter() {
  if (!thread_.joinable()) return;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return jobs_.empty(); });
  }
  thread_.request_stop();
  changed_.notify_all();
}

void BackgroundWriter::add(Job job) {
  const std::lock_guard lock(mutex_);
  if (error_) return;
  jobs_.push_back(std::move(job));
  changed_.notify_all();
  if (!thread_.joinable()) {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
}

void BackgroundWriter::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !jobs_.empty(); })) {
    const Job job = jobs_.front();
    lock.unlock();
    std::exception_ptr error;
    try {
      job();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    jobs_.pop_front();
    if (error) {
      error_ = error;
      jobs_.clear();
    }
    changed_.notify_all();
  }
}

void BackgroundWriter::check() {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void BackgroundWriter::wait() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return jobs_.empty(); });
  }
  check();
}

bool BackgroundWriter::is_idle() const {
  const std::lock_guard lock(mutex_);
  return jobs_.empty();
}

}  // namespace gossip::train
