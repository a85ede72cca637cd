// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Memory that ranks contribute and address directly.

#include <cstddef>
#include <span>

#include <libgossip/base/types.h>

namespace gossip::transport {

/// One part for each rank that shares memory with this one (Group::shares_memory_with), each
/// 64-byte aligned, with unspecified contents at first.
///
/// Collective: construction (Group::make_region) and destruction.
/// Threads: the parts are plain memory; synchronize with C++ atomics that lie in them.
class Region {
 public:
  Region() = default;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  virtual ~Region() = default;

  /// The part that `rank`, which shares memory with this rank, contributed. Local, does not block.
  [[nodiscard]] virtual std::span<std::byte> of(Rank rank) const = 0;
};

}  // namespace gossip::transport
