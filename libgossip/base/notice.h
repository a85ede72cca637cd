// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What a rank says that waits for long.

#include <chrono>

#include <libgossip/base/deadline.h>
#include <libgossip/base/log.h>

namespace gossip {

/// Says after ten seconds, once a wait, for whom a rank waits. Local. Threads: one at a time.
class Notice {
 public:
  /// Of a wait up to `deadline`, which must outlive it. A wait may take several calls with a Notice
  /// each.
  Notice(Rank self, const Deadline& deadline) : self_(self), deadline_(deadline) {}

  /// To be called now and then. `whom()` gives what follows "waiting for".
  template <class Whom>
  void look(const Whom& whom) {
    const double seconds = deadline_.elapsed_seconds();
    if (seconds < kSeconds || !deadline_.takes_the_notice()) return;
    const bool is_limited = deadline_.timeout() != std::chrono::milliseconds::max();
    const double limit = std::chrono::duration<double>(deadline_.timeout()).count();
    log(LogLevel::kWarning, self_, "waiting for {} ({:.0f} s{})", whom(), seconds,
        is_limited ? fmt::format(" of at most {:.0f} s", limit) : "");
  }

 private:
  static constexpr double kSeconds = 10.0;

  Rank self_;
  const Deadline& deadline_;
};

}  // namespace gossip
