// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Ranks that are made slow, to see what that costs.

#include <algorithm>
#include <string>
#include <string_view>

#include <libgossip/base/error.h>
#include <libgossip/base/numbers.h>
#include <libgossip/base/types.h>

namespace gossip::examples {

/// A rank that takes a multiple of the others' time.
struct SlowRank {
  Rank rank = -1;
  double factor = 1.0;
};

/// From "R:FACTOR", of `size` ranks. Throws gossip::Error.
inline SlowRank read_slow_rank(const std::string& text, int size) {
  constexpr double kMost = 1e6;
  const std::size_t colon = std::min(text.find(':'), text.size());
  const auto rank = parse_number<Rank>(std::string_view(text).substr(0, colon));
  const auto factor =
      parse_number<double>(std::string_view(text).substr(std::min(colon + 1, text.size())));
  GOSSIP_CHECK(rank && factor && *rank >= 0 && *rank < size && *factor >= 1 && *factor <= kMost,
               "--slow-rank is '{}': it must be R:FACTOR with a rank R below {} and a FACTOR "
               "between 1 and {}, such as 1:4.",
               text, size, kMost);
  return {*rank, *factor};
}

}  // namespace gossip::examples
