// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How often checkpoints are written, as the command line says it.

#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>

#include <libgossip/base/error.h>

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
  const char* end = text.data() + text.size();
  std::int64_t count = 0;
  const auto number = std::from_chars(text.data(), end, count);
  const std::string unit(number.ptr, end);
  const bool is_known = unit.empty() || unit == "s" || unit == "m" || unit == "h";
  GOSSIP_CHECK(number.ec == std::errc() && is_known && count >= 1 && count <= kMost,
               "--checkpoint-every is '{}': it must be a number of steps, such as 500, or a time, "
               "such as 90s, 10m or 2h.",
               text);
  if (unit.empty()) return {.steps = count};
  return {.time = std::chrono::seconds(count * (unit == "h" ? 3600 : unit == "m" ? 60 : 1))};
}

}  // namespace gossip::examples
