// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What travels beside each payload, byte for byte.

#include <cstdint>

#include <libgossip/base/types.h>

namespace gossip::transport {

enum class MessageKind : std::uint16_t {
  kData,   ///< the payload counts
  kSkip,   ///< the sender takes no part in this round; no payload
  kLeave,  ///< the sender ends and sends nothing more
  kHello,  ///< reserved for the handshake of a rank that returns; not sent yet
  kPull,   ///< reserved for the model that such a rank asks for; not sent yet
};

/// What travels beside the payload, in shared memory and between hosts: 128 bytes, little-endian,
/// in this order. Callers set what they have to say; a field that is not set is 0, the weight 1.
struct Header {
  static constexpr std::uint32_t kMagic = 0x31505347;  ///< the bytes "GSP1"
  static constexpr std::uint16_t kVersion = 1;         ///< of this layout

  /// `kMagic`: check_header() refuses another.
  std::uint32_t magic = kMagic;
  /// `kVersion`: check_header() refuses another.
  std::uint16_t version = kVersion;
  /// What the message is. Set by the caller.
  MessageKind kind = MessageKind::kData;
  /// Number of the channel. 0 as long as no channel sets it.
  std::uint32_t channel = 0;
  /// How often an end of the edge has given it up. 0 as long as no channel sets it.
  std::uint32_t generation = 0;
  /// 1, 2, 3, ... along an edge (kNext) or of a sender (kLatest). Set by the channel.
  std::uint64_t sequence = 0;
  /// The round that the message belongs to, or what else its caller counts. Set by the caller.
  std::int64_t round = 0;
  /// Mixing or push-sum weight, where the method sends one. Set by the caller.
  double weight = 1.0;
  /// Length of the payload, at most the channel's capacity. Set by the caller.
  std::uint64_t bytes = 0;
  /// Natural logarithm of the sender's learning rate. 0 as long as no method sets it.
  double log_rate = 0.0;
  /// Edges that the sender uses in this round, a bit for each of its neighbors, in the order of
  /// their ranks, from the lowest bit. Set where neighbors may be dropped.
  std::uint64_t uses = 0;
  /// Neighbors whose messages the sender has accepted, as `uses`. Set by EdgeAgreement.
  std::uint64_t accepted = 0;
  /// Steps that the sender has made. Set by engine::Membership, as the next four are.
  std::int64_t step = 0;
  /// Reports of the sender's membership so far.
  std::uint64_t beat = 0;
  /// Rises with losses that the sender has heard of: then trackers are to start anew.
  std::uint32_t epoch = 0;
  /// Tells apart the processes that have the sender's rank one after another.
  std::uint32_t incarnation = 0;
  /// Milliseconds that the sender has spent in its present step.
  std::uint32_t in_step_ms = 0;
  /// Rounds in which the sender was active. 0 as long as no method sets it.
  std::uint32_t active_count = 0;
  /// Edges that the sender used in the round before. Set where neighbors may be dropped.
  std::uint16_t degree = 0;
  /// Neighbors of the sender that are live in this round. 0 as long as no method sets it.
  std::uint16_t live_degree = 0;
  /// The sender's level of participation in the next round. 0 as long as no method sets it.
  std::uint8_t level = 0;
  /// Whether the sender has left the training loop: an engine::MemberState.
  std::uint8_t state = 0;
  /// What the two checksums are. 0, there are none, as long as no channel sets it.
  std::uint8_t checksum_kind = 0;
  /// Always 0.
  std::uint8_t zero = 0;
  /// Checksum of the payload. 0 as long as no channel sets it.
  std::uint64_t payload_sum = 0;
  /// Checksum of the bytes before it. 0 as long as no channel sets it.
  std::uint32_t header_sum = 0;
  /// Always 0: no byte of a header is undefined.
  std::uint32_t padding = 0;
};

/// Throws gossip::Error, which names `from`, unless what it sent is a header of this layout. Looks
/// at `magic` and `version` only; allocates nothing when they are right.
void check_header(const Header& header, Rank from);

}  // namespace gossip::transport
