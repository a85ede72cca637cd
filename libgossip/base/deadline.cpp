// SPDX-License-Identifier: Apache-2.0
#include <mutex>

#include <libgossip/base/deadline.h>

namespace gossip {

RunningClock::time_point RunningClock::now() {
  static std::mutex mutex;
  static RunningTime time(Clock::now());
  const std::lock_guard lock(mutex);
  return time_point(time.look(Clock::now()));
}

}  // namespace gossip
