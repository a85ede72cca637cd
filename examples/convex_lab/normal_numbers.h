// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Normal numbers that are the same on every machine.

#include <cmath>
#include <numbers>

#include <libgossip/base/random.h>

namespace gossip::examples {

/// A number of mean 0 and variance 1 (Box and Muller 1958).
inline double normal(SplitMix64& random) {
  const double radius = std::sqrt(-2.0 * std::log1p(-random.unit()));
  return radius * std::cos(2.0 * std::numbers::pi * random.unit());
}

}  // namespace gossip::examples
