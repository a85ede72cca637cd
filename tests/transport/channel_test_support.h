// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What the conformance suites of channels share.

#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/transport/group.h>

namespace gossip::transport {

inline constexpr std::chrono::seconds kLong{30};

/// Byte k of what `sender` sends in `round`.
inline std::byte pattern(Rank sender, std::int64_t round, std::size_t k) {
  return static_cast<std::byte>(static_cast<std::size_t>(sender) * 131 +
                                static_cast<std::size_t>(round) * 37 + k * 7 + k / 251);
}

inline void fill(std::span<std::byte> slot, Rank sender, std::int64_t round, std::size_t bytes) {
  for (std::size_t k = 0; k < bytes; ++k) slot[k] = pattern(sender, round, k);
}

inline bool is_whole(const Message& message, std::size_t bytes) {
  if (message.payload().size() != bytes || message.header().bytes != bytes) return false;
  for (std::size_t k = 0; k < bytes; ++k) {
    if (message.payload()[k] != pattern(message.from(), message.header().round, k)) return false;
  }
  return true;
}

inline void send(Group& group, Channel& channel, const std::vector<Rank>& to, std::int64_t round,
                 std::size_t bytes) {
  fill(channel.acquire(to), group.rank(), round, bytes);
  channel.commit({.round = round, .bytes = bytes});
}

/// A header with all that a caller may set, each different.
inline Header full_header(Rank sender, std::int64_t round, std::uint64_t bytes) {
  return {.kind = MessageKind::kPull,
          .round = round,
          .weight = 0.25 + sender,
          .bytes = bytes,
          .log_rate = -2.5,
          .uses = 0xF000'0000'0000'0001,
          .accepted = 0x8000'0000'0000'0002,
          .step = -3,
          .beat = 0x7000'0000'0000'0004,
          .epoch = 0x9000'0005,
          .incarnation = 0x9000'0006,
          .in_step_ms = 0x9000'0007,
          .active_count = 0x9000'0008,
          .degree = 0x9009,
          .live_degree = 0x900A,
          .level = 0x9B,
          .state = 0x9C};
}

/// Whether a message came with that header; its sequence is the channel's.
inline bool has_full_header(const Message& message, std::int64_t round, std::uint64_t bytes) {
  using Bytes = std::array<std::byte, sizeof(Header)>;
  Header expected = full_header(message.from(), round, bytes);
  expected.sequence = message.header().sequence;
  return std::bit_cast<Bytes>(message.header()) == std::bit_cast<Bytes>(expected);
}

inline std::vector<Rank> all_ranks(const Group& group) {
  std::vector<Rank> ranks;
  for (Rank rank = 0; rank < group.size(); ++rank) ranks.push_back(rank);
  return ranks;
}

/// The ranks whose newest message this one can read. A rank is a sender to itself where it shares
/// memory.
inline std::vector<Rank> latest_senders(const Group& group) {
  std::vector<Rank> ranks = all_ranks(group);
  if (!is_one_host(group)) std::erase(ranks, group.rank());
  return ranks;
}

/// The newest message of this rank as soon as it is the one of `round`; between hosts that takes a
/// moment.
inline std::optional<Message> latest_of(Channel& channel, Rank from, std::int64_t round) {
  std::optional<Message> message;
  const bool is_there = wait_until(Deadline(kLong), [&] {
    message.reset();
    message = channel.latest(from);
    return message && message->header().round == round;
  });
  if (!is_there) message.reset();
  return message;
}

/// What a wait that must time out threw, after how many seconds.
template <class Wait>
std::pair<std::optional<TimeoutError>, double> timed(Wait&& wait) {
  const Deadline clock(kLong);
  try {
    wait();
  } catch (const TimeoutError& error) {
    return {error, clock.elapsed_seconds()};
  }
  return {std::nullopt, clock.elapsed_seconds()};
}

}  // namespace gossip::transport
