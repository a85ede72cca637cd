// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What communication costs one rank, and what it brings.

#include <array>
#include <cstddef>
#include <cstdint>

namespace gossip::engine {

/// How old, in steps of this rank, what it merged was.
class Ages {
 public:
  /// `count` values of age `steps`; ages above the largest one kept count as that.
  void add(std::int64_t steps, std::int64_t count = 1);

  /// The smallest age that at least this share (0 to 1) of the values does not exceed; 0 of none.
  [[nodiscard]] std::int64_t quantile(double share) const;

  Ages& operator+=(const Ages& other);

 private:
  static constexpr std::size_t kLargest = 1023;
  std::array<std::int64_t, kLargest + 1> counts_{};
};

/// Totals of one rank since the start of training.
struct Counters {
  std::int64_t gossip_rounds = 0;    ///< rounds of the schedule, exact means, or exchanges started
  std::uint64_t bytes_sent = 0;      ///< payload, counted once for every receiver; exact means:
                                     ///< nominal, 2(n-1)/n of the vector
  std::uint64_t bytes_received = 0;  ///< payload
  std::uint64_t bytes_averaged = 0;  ///< of neighbors' vectors that were averaged into this model
  /// Read and written in passes over vectors, by methods whose steps are stages. What the local
  /// optimizer and an exact mean touch is not known here.
  std::uint64_t bytes_touched = 0;
  /// Of them, were every vector read and written at most once between two waits for others.
  std::uint64_t bytes_touched_least = 0;
  /// Messages or exchanges not started because the last was under way, and exchanges that did
  /// nothing because the other rank had left.
  std::int64_t skipped = 0;
  std::int64_t left_out = 0;          ///< values that rounds closed without, by a wait policy
  std::int64_t neighbors_lost = 0;    ///< neighbors dropped
  std::int64_t suspected = 0;         ///< times that a neighbor gave no sign of life for long
  std::int64_t false_suspicions = 0;  ///< of them, those that ended soon
  /// Exchanges of which the lost neighbor may have made its half, this rank not: at most one each.
  std::int64_t halves_lost = 0;
  double mass_lost = 0.0;     ///< push-sum weight, or exchanges, that went with them
  double wait_seconds = 0.0;  ///< time in which this rank stood still for another
  Ages ages;                  ///< asynchronous methods: of what was merged

  Counters& operator+=(const Counters& other);
};

}  // namespace gossip::engine
