// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>

#include <libgossip/base/error.h>
#include <libgossip/base/notice.h>
#include <libgossip/transport/mean_wait.h>

namespace gossip::transport {
namespace {

constexpr double kTellingSeconds = 1.0;  // or a quarter of a short timeout

}  // namespace

void MeanWait::await(
    const std::function<bool(const Deadline&, const std::function<void()>&)>& wait) {
  const mpi::Communicator& ranks = meeting_.communicator();
  const Deadline deadline(patience_.timeout);
  const double telling_seconds =
      std::min(kTellingSeconds, std::chrono::duration<double>(patience_.timeout).count() / 4);
  bool has_told = false;
  Notice notice(ranks.rank(), deadline);
  const auto while_waiting = [&] {
    const double seconds = deadline.elapsed_seconds();
    if (!has_told && (has_told = seconds > telling_seconds)) meeting_.tell_waiting(number_);
    notice.look([&] { return fmt::format("{} in the mean over all ranks", missing()); });
    if (patience_.while_waiting) patience_.while_waiting();
  };
  if (wait(deadline, std::cref(while_waiting))) return;
  throw TimeoutError(
      -1, fmt::format("Rank {} waited {} ms for {} in the mean over {} ranks. Who does not come "
                      "has ended, hangs, or needs a longer timeout.",
                      ranks.rank(), patience_.timeout.count(), missing(), ranks.size()));
}

/// Who has told nothing of this mean for as long as others tell.
std::string MeanWait::missing() {
  const std::string known = meeting_.missing_in(number_);
  return known.empty() ? "the other ranks" : known;
}

}  // namespace gossip::transport
