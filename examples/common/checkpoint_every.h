// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How often checkpoints are written, as the command line says it.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <libgossip/base/error.h>
#include <libgossip/base/numbers.h>

namespace gossip::examples {

/// By steps or by time; neither: when a signal comes only.
struct CheckpointEvery {
  std::int64_t steps = 0;
  std::chrono::seconds time{0};
};

/// From "500" (steps), "90s", "10m" or "2h"; empty: neither. Throws gossip::Error.
inline CheckpointEvery read_checkpoint_every(const std::string& text) {
  if (text.empty()) return {};
  constexpr std::int64_t kMost = 1'000'000'000;
  const char unit = text.back();
  const bool is_time = unit == 's' || unit == 'm' || unit == 'h';
  const std::string_view digits = std::string_view(text).substr(0, text.size() - (is_time ? 1 : 0));
  const auto count = parse_number<std::int64_t>(digits);
  GOSSIP_CHECK(count && *count >= 1 && *count <= kMost,
               "--checkpoint-every is '{}': it must be a number of steps, such as 500, or a time, "
               "such as 90s, 10m or 2h, with {}.",
               text, expected_number<std::int64_t>(1, kMost));
  if (!is_time) return {.steps = *count};
  return {.time = std::chrono::seconds(*count * (unit == 'h' ? 3600 : unit == 'm' ? 60 : 1))};
}

}  // namespace gossip::examples
