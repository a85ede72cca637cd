// SPDX-License-Identifier: Apache-2.0
#include <mutex>

#include <libgossip/base/deadline.h>

namespace gossip {
namespace {

/// What all looks at the clock share.
struct Running {
  std::mutex mutex;
  RunningTime time{Clock::now()};
  RunningClock::duration skipped{0};
};

Running& running() {
  static Running running;
  return running;
}

}  // namespace

RunningClock::time_point RunningClock::now() {
  Running& all = running();
  const std::lock_guard lock(all.mutex);
  return time_point(all.time.look(Clock::now()) + all.skipped);
}

void RunningClock::skip(duration time) {
  Running& all = running();
  const std::lock_guard lock(all.mutex);
  all.skipped += time;
}

}  // namespace gossip
