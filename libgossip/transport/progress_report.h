// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What ranks tell each other about the progress of all of them, as bytes.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <libgossip/base/types.h>

namespace gossip::transport {

/// What is known of every rank, by rank.
struct Progress {
  explicit Progress(int ranks);

  [[nodiscard]] std::array<std::vector<std::int64_t>*, 3> columns() {
    return {&steps, &turns, &turns_alone};
  }

  std::vector<std::int64_t> steps;        ///< made
  std::vector<std::int64_t> turns;        ///< times that it left the training loop or came back
  std::vector<std::int64_t> turns_alone;  ///< of them, those that the others did not take
};

/// What a rank reports of one of its neighbors.
struct ReportedEdge {
  Rank neighbor = 0;
  std::int64_t taken = 0;  ///< messages of it that were taken in
  bool is_given_up = false;
};

/// What a report says to one of its receivers.
struct ToReceiver {
  std::int64_t taken = 0;    ///< messages of it that the reporting rank has taken in
  bool is_given_up = false;  ///< the reporting rank does not talk with it any more
};

/// Between two reports of a rank: 20 to 100 ms, so that with their headers they are at most 5 kB/s
/// an edge at 64 ranks and 50 kB/s at 1000.
[[nodiscard]] std::chrono::milliseconds report_interval(int ranks);

/// Room for any report on so many ranks, and up to `peers` neighbors.
[[nodiscard]] std::size_t most_report_bytes(int ranks, std::size_t peers);

/// Writes numbers, none of which is negative, and returns how many bytes that took: about two for a
/// rank, since steps are told as differences from the slowest rank's, and what is the same of all
/// ranks is told once. `out` has room for most_report_bytes(). Allocates nothing.
std::size_t write_report(Progress& progress, std::span<const ReportedEdge> edges,
                         std::span<std::byte> out);

/// Reads what write_report() wrote for as many ranks as `progress` has, into it, and returns what
/// it says to `self`; nothing when the bytes are no report: then `progress` may hold anything.
/// Allocates nothing.
[[nodiscard]] std::optional<ToReceiver> read_report(std::span<const std::byte> in, Rank self,
                                                    Progress& progress);

}  // namespace gossip::transport
