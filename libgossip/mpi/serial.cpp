// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/mpi/launcher.h>
#include <libgossip/mpi/serial.h>

namespace gossip::mpi {
namespace {

using std::chrono::milliseconds;

std::atomic<milliseconds> patience_of_all{std::chrono::minutes(1)};

thread_local bool makes_brief_calls = false;
thread_local int depth = 0;

/// Brief calls so far, begun and ended ones: odd during one.
std::atomic<std::uint64_t> brief_calls{0};

/// The one that did not return, if there is one.
std::atomic<std::uint64_t> lost_call{0};

/// Adds up its own short waits: a process that was stopped meanwhile has not waited.
template <class Mutex>
void take(std::unique_lock<Mutex>& lock) {
  if (lock.try_lock()) return;
  constexpr milliseconds kPeriod{100};
  std::uint64_t call = 0;
  milliseconds waited{0};
  // By the system's clock, since the thread sanitizer does not know waits by the other one.
  while (!lock.try_lock_until(std::chrono::system_clock::now() + kPeriod)) {
    const std::uint64_t now = brief_calls;
    waited = now == call && now % 2 == 1 ? waited + kPeriod : milliseconds(0);
    call = now;
    if (waited >= patience_of_all.load()) lost_call = now;
    if (now == 0 || now != lost_call) continue;
    throw TimeoutError(
        -1, fmt::format("MPI has not returned for {} s from a call that waits for nobody: it does "
                        "not work any more in this process. Open MPI 4.1 fails so at times when a "
                        "rank is lost, and with osc/pt2pt (use GOSSIP_TRANSPORT=message).",
                        std::chrono::duration<double>(patience_of_all.load()).count()));
  }
}

}  // namespace

Serial::Serial() : lock_(mutex(), std::defer_lock) {
  if (makes_brief_calls) {
    lock_.lock();
    if (depth++ == 0) ++brief_calls;
    return;
  }
  take(lock_);
}

Serial::~Serial() {
  if (makes_brief_calls && --depth == 0) ++brief_calls;
}

void Serial::make_brief_calls() noexcept { makes_brief_calls = true; }

milliseconds Serial::patience() noexcept { return patience_of_all; }

void Serial::set_patience(milliseconds patience) noexcept { patience_of_all = patience; }

std::unique_lock<std::timed_mutex> Serial::lock(std::timed_mutex& mutex) noexcept {
  std::unique_lock lock(mutex, std::defer_lock);
  try {
    take(lock);
  } catch (const TimeoutError& error) {
    log_line(LogLevel::kError, launched_rank(), error.what());
    std::fflush(nullptr);
    std::_Exit(EXIT_FAILURE);
  }
  return lock;
}

std::recursive_timed_mutex& Serial::mutex() {
  static std::recursive_timed_mutex mutex;
  return mutex;
}

bool Serial::keep(milliseconds patience) {
  return wait_until(Deadline(patience), [] { return mutex().try_lock(); });
}

}  // namespace gossip::mpi
