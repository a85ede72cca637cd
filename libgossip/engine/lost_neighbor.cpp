// SPDX-License-Identifier: Apache-2.0
#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/engine/lost_neighbor.h>

namespace gossip::engine {
namespace {

/// A neighbor that is silent for longer is named.
constexpr double kWarningSeconds = 5.0;

}  // namespace

bool Watch::has_run_out(Rank self, Rank peer, std::chrono::milliseconds timeout) {
  const double silent = seconds();
  const double limit = std::chrono::duration<double>(timeout).count();
  if (silent > limit) return true;
  if (silent > kWarningSeconds && !has_warned_) {
    has_warned_ = true;
    log(LogLevel::kWarning, self, "rank {} has not answered for {:.0f} s (limit {:.0f} s)", peer,
        silent, limit);
  }
  return false;
}

void LostNeighbors::add(Rank peer, std::string_view what, double seconds, Counters& counters) {
  if (!may_drop()) {
    throw TimeoutError(peer, fmt::format("Rank {} did not {} for {:.1f} s (rank {} waited): it has "
                                         "ended, hangs, or needs a longer timeout.",
                                         peer, what, seconds, self_));
  }
  log(LogLevel::kWarning, self_, "goes on without rank {}, which did not {} for {:.1f} s", peer,
      what, seconds);
  is_lost_[static_cast<std::size_t>(peer)] = true;
  ++counters.neighbors_lost;
}

}  // namespace gossip::engine
