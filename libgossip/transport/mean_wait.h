// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How a rank waits for a mean over all ranks of a group.

#include <cstdint>
#include <functional>
#include <string>

#include <libgossip/base/deadline.h>
#include <libgossip/transport/meeting.h>

namespace gossip::transport {

/// What starting a mean on a rank that gave one up throws until the ranks have met.
inline constexpr const char* kGaveUpBefore =
    "This rank gave up a mean before, so the ranks' next ones may not fit together. They do again "
    "after a collective call that all ranks make (a barrier, with_mean_model(), a new optimizer).";

/// A rank that waits for a mean tells the others after a second, so that they know who has not
/// come, and says after ten for whom it waits.
///
/// Local. Threads: one at a time. The meeting must outlive it.
class MeanWait {
 public:
  MeanWait(Meeting& meeting, Patience patience)
      : meeting_(meeting), patience_(std::move(patience)) {}

  /// The mean starts, in the same order on all ranks.
  void start() { number_ = meeting_.next_wait(); }

  /// Blocks in `wait`, which returns whether the mean is over before the deadline, and calls what
  /// it gets meanwhile. Throws TimeoutError, which names those that have not come, when it is not.
  void await(const std::function<bool(const Deadline&, const std::function<void()>&)>& wait);

 private:
  [[nodiscard]] std::string missing();

  Meeting& meeting_;
  Patience patience_;
  std::uint64_t number_ = 0;
};

}  // namespace gossip::transport
