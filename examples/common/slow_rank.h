// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Ranks that are made slow, to see what that costs.

#include <charconv>
#include <cmath>
#include <string>
#include <system_error>

#include <libgossip/base/error.h>
#include <libgossip/base/types.h>

namespace gossip::examples {

/// A rank that takes a multiple of the others' time.
struct SlowRank {
  Rank rank = -1;
  double factor = 1.0;
};

/// From "R:FACTOR", of `size` ranks. Throws gossip::Error.
inline SlowRank read_slow_rank(const std::string& text, int size) {
  SlowRank result;
  const char* end = text.data() + text.size();
  const auto rank = std::from_chars(text.data(), end, result.rank);
  const bool has_colon = rank.ec == std::errc() && rank.ptr != end && *rank.ptr == ':';
  const bool is_read = has_colon && std::from_chars(rank.ptr + 1, end, result.factor).ptr == end;
  GOSSIP_CHECK(is_read && result.rank >= 0 && result.rank < size && result.factor >= 1 &&
                   std::isfinite(result.factor),
               "--slow-rank is '{}': it must be R:FACTOR with a rank R below {} and a FACTOR of at "
               "least 1, such as 1:4.",
               text, size);
  return result;
}

}  // namespace gossip::examples
