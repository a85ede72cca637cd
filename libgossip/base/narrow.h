// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Checked conversion between integer types.

#include <concepts>
#include <utility>

#include <libgossip/base/error.h>

namespace gossip {

/// `value` as a `To`. Throws gossip::Error, naming the value, when `To` cannot hold it.
template <std::integral To, std::integral From>
[[nodiscard]] constexpr To narrow(From value) {
  GOSSIP_CHECK(std::in_range<To>(value), "{} does not fit into an integer of {} bytes", value,
               sizeof(To));
  return static_cast<To>(value);
}

/// `count` as the `int` that MPI 3 takes for counts. Throws gossip::Error beyond 2^31 - 1.
template <std::integral From>
[[nodiscard]] constexpr int narrow_count(From count) {
  return narrow<int>(count);
}

}  // namespace gossip
