// SPDX-License-Identifier: Apache-2.0
#include <exception>
#include <utility>

#include <libgossip/checkpoint/background_writer.h>

namespace gossip::checkpoint {

BackgroundWriter::~BackgroundWriter() {
  if (!thread_.joinable()) return;
  wait();
  thread_.request_stop();
  changed_.notify_all();
}

void BackgroundWriter::add(std::int64_t set, Job job) {
  const std::lock_guard lock(mutex_);
  if (!thread_.joinable()) {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  jobs_.push_back({set, std::move(job)});
  changed_.notify_all();
}

void BackgroundWriter::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !jobs_.empty(); })) {
    const Entry entry = std::move(jobs_.front());
    lock.unlock();
    std::optional<std::string> why;
    try {
      entry.job();
    } catch (const std::exception& error) {
      why = error.what();
    } catch (...) {
      why = "an error without a message";
    }
    lock.lock();
    jobs_.pop_front();
    if (why) failures_.push_back({entry.set, *std::move(why)});
    changed_.notify_all();
  }
}

bool BackgroundWriter::has_failed() const {
  const std::lock_guard lock(mutex_);
  return !failures_.empty();
}

std::vector<BackgroundWriter::Failure> BackgroundWriter::take_failures() {
  const std::lock_guard lock(mutex_);
  return std::exchange(failures_, {});
}

std::optional<std::int64_t> BackgroundWriter::current() const {
  const std::lock_guard lock(mutex_);
  if (jobs_.empty()) return std::nullopt;
  return jobs_.front().set;
}

void BackgroundWriter::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return jobs_.empty(); });
}

void BackgroundWriter::wait_for(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, most, [this] { return jobs_.empty(); });
}

}  // namespace gossip::checkpoint
