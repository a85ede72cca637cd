// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Memory that every rank of a group contributes and every one addresses directly.

#include <cstddef>
#include <span>

#include <libgossip/base/types.h>

namespace gossip::transport {

/// One part per rank, each 64-byte aligned, with unspecified contents at first. Exists for groups
/// on one host only.
///
/// Collective: construction (Group::make_region) and destruction.
/// Threads: the parts are plain memory; synchronize with C++ atomics that lie in them.
class Region {
 public:
  Region() = default;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  virtual ~Region() = default;

  /// The part that `rank` contributed. Local, does not block.
  [[nodiscard]] virtual std::span<std::byte> of(Rank rank) const = 0;
};

}  // namespace gossip::transport
