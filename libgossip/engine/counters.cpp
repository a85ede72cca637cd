// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include <libgossip/engine/counters.h>

namespace gossip::engine {

void Ages::add(std::int64_t steps, std::int64_t count) {
  const auto age = static_cast<std::size_t>(std::max<std::int64_t>(steps, 0));
  counts_[std::min(age, kLargest)] += count;
}

std::int64_t Ages::quantile(double share) const {
  const auto total = static_cast<double>(std::reduce(counts_.begin(), counts_.end()));
  double seen = 0.0;
  for (std::size_t age = 0; age < counts_.size() && total > 0; ++age) {
    seen += static_cast<double>(counts_[age]);
    if (seen >= share * total) return static_cast<std::int64_t>(age);
  }
  return 0;
}

Ages& Ages::operator+=(const Ages& other) {
  for (std::size_t age = 0; age < counts_.size(); ++age) counts_[age] += other.counts_[age];
  return *this;
}

Counters& Counters::operator+=(const Counters& other) {
  gossip_rounds += other.gossip_rounds;
  bytes_sent += other.bytes_sent;
  bytes_received += other.bytes_received;
  bytes_averaged += other.bytes_averaged;
  bytes_touched += other.bytes_touched;
  bytes_touched_least += other.bytes_touched_least;
  skipped += other.skipped;
  left_out += other.left_out;
  neighbors_lost += other.neighbors_lost;
  suspected += other.suspected;
  false_suspicions += other.false_suspicions;
  halves_lost += other.halves_lost;
  mass_lost += other.mass_lost;
  wait_seconds += other.wait_seconds;
  ages += other.ages;
  return *this;
}

}  // namespace gossip::engine
