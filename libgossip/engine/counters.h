// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What communication costs one rank.

#include <cstdint>

namespace gossip::engine {

/// Totals of one rank since the start of training.
struct Counters {
  std::int64_t gossip_rounds = 0;    ///< rounds of the schedule, or exact means
  std::uint64_t bytes_sent = 0;      ///< payload, counted once for every receiver; exact means:
                                     ///< nominal, 2(n-1)/n of the vector
  std::uint64_t bytes_received = 0;  ///< payload
  double wait_seconds = 0.0;         ///< time in which this rank stood still for another

  Counters& operator+=(const Counters& other) {
    gossip_rounds += other.gossip_rounds;
    bytes_sent += other.bytes_sent;
    bytes_received += other.bytes_received;
    wait_seconds += other.wait_seconds;
    return *this;
  }
};

}  // namespace gossip::engine
