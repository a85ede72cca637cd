// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How payloads get from one host's memory into another's.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/transport/network_members.h>

namespace gossip::transport {

/// Slots of one size that other ranks fill.
class SlotMemory {
 public:
  SlotMemory() = default;
  SlotMemory(const SlotMemory&) = delete;
  SlotMemory& operator=(const SlotMemory&) = delete;
  virtual ~SlotMemory() = default;

  /// 64-byte aligned.
  [[nodiscard]] virtual std::span<std::byte> slot(int index) = 0;

  [[nodiscard]] virtual std::size_t bytes() const = 0;
};

/// Slots in memory of this process alone.
[[nodiscard]] std::unique_ptr<SlotMemory> make_private_slots(int count, std::size_t capacity);

/// A filling of a slot by another rank.
struct Filling {
  SlotMemory* memory;
  int slot;              ///< of the receiver
  std::size_t bytes;     ///< at least those of the payload; both sides name the same number
  int tag;               ///< tells a receiver's slots apart, those of other memories too
  std::uint64_t stamp;   ///< tells the fillings of a slot apart; never 0
  std::uint64_t number;  ///< the caller's, named when it is done
};

/// Moves payloads in pieces, many at a time. A receiver names a slot and expects a payload; then
/// the sender puts it there from memory that stays as it is meanwhile. A payload is reported to the
/// receiver when all of it lies in the slot, and only then.
///
/// Ranks are those of the network.
///
/// Collective: make_slots() and the end of its result, over `members`. Everything else is local and
/// does not block, but for flushes of microseconds. Threads: one at a time.
class PayloadMover {
 public:
  PayloadMover() = default;
  PayloadMover(const PayloadMover&) = delete;
  PayloadMover& operator=(const PayloadMover&) = delete;
  virtual ~PayloadMover() = default;

  /// "message" or "rma".
  [[nodiscard]] virtual std::string_view name() const = 0;

  /// Slots that the other members fill; `members` outlives them.
  [[nodiscard]] virtual std::unique_ptr<SlotMemory> make_slots(int count, std::size_t capacity,
                                                               const NetworkMembers& members) = 0;

  virtual void expect(Rank from, const Filling& filling) = 0;
  virtual void put(Rank to, std::span<const std::byte> payload, const Filling& filling) = 0;

  /// Drives everything on; appends the numbers of the fillings that have arrived, and of those
  /// whose source is free again.
  virtual void poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) = 0;

  /// Whether fillings are under way.
  [[nodiscard]] virtual bool is_busy() const = 0;

  /// Before the end, where fillings were given up: what they use of MPI stays behind.
  virtual void leave() noexcept = 0;
};

}  // namespace gossip::transport
