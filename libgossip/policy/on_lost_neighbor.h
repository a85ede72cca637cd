// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The choice between an error and going on.

#include <cstdint>

namespace gossip::policy {

/// What happens when a neighbor has been silent for the whole timeout.
enum class OnLostNeighbor : std::uint8_t {
  kError,  ///< a TimeoutError that names it; the default
  kDrop,   ///< the run goes on without it: weights stay stochastic over the rest
};

}  // namespace gossip::policy
