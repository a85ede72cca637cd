// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Moving bytes along the directed edges between the ranks of a group: put with signal.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/types.h>
#include <libgossip/transport/header.h>

namespace gossip::transport {

/// How the receivers of a channel read, fixed when the channel is made.
enum class Reading {
  kNext,    ///< every message exactly once and in order, with next(): rounds, push-sum mass,
            ///< compressed differences
  kLatest,  ///< the newest complete message, with latest(); older ones are dropped unread:
            ///< asynchronous averaging
};

/// The most slots that a channel can have inside a host.
inline constexpr int kMostMemorySlots = 14;

struct ChannelOptions {
  std::size_t capacity_bytes = 0;  ///< the longest payload; 0 is allowed (headers only)
  int slots = 2;  ///< messages a sender may have unread at the same time; kLatest: buffers, >= 2
  Reading reading = Reading::kNext;
  std::chrono::milliseconds timeout = std::chrono::minutes(5);  ///< of every wait
  std::function<void()> while_waiting =
      {};  ///< called every tenth of a second of a wait; may throw

  // Between hosts, where a message is copied to its receivers:

  /// kNext: messages that a receiver can have at the same time, read or unread; with rounds at
  /// least the largest number of senders of one round.
  int receive_slots = 1;
  /// Whether messages belong to rounds that all ranks go through in order: then those of a round
  /// that this rank has not sent in wait at their senders, so that they never take the place of the
  /// ones it waits for. False: messages are taken as they come, with try_next().
  bool has_rounds = true;
  /// The ranks that this one may exchange messages with, in both directions; without: all.
  std::optional<std::vector<Rank>> peers = {};
  /// Edges inside a host are not used and take no memory.
  bool only_between_hosts = false;
};

class Channel;

/// A received message, readable in place until this object ends; then its slot is free for the
/// sender. Move-only. Must not outlive its channel.
class Message {
 public:
  Message(Channel& channel, Rank from, int slot, const Header& header,
          std::span<const std::byte> payload)
      : channel_(&channel), from_(from), slot_(slot), header_(header), payload_(payload) {}
  Message(Message&& other) noexcept;
  Message& operator=(Message&& other) noexcept;
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  ~Message();

  [[nodiscard]] Rank from() const noexcept { return from_; }
  [[nodiscard]] const Header& header() const noexcept { return header_; }

  /// 64-byte aligned.
  [[nodiscard]] std::span<const std::byte> payload() const noexcept { return payload_; }

 private:
  void release() noexcept;

  Channel* channel_;
  Rank from_;
  int slot_;
  Header header_;
  std::span<const std::byte> payload_;
};

/// All directed edges between the ranks of one group, for one purpose. A rank fills a slot once and
/// names the receivers; inside a host they all read it where it lies, so memory does not grow with
/// the number of edges. A receiver never sees a half-written payload, a sender never overwrites
/// what is being read, and nobody waits without a deadline.
///
/// Collective: construction (Group::make_channel) and destruction. Everything else is local.
/// Threads: one thread per rank at a time.
///
///     std::span<std::byte> slot = channel.acquire(receivers);   // waits for a free slot
///     std::memcpy(slot.data(), x.data(), bytes);
///     channel.commit({.round = k, .bytes = bytes});             // now the receivers see it
///     Message message = channel.next(sender);                   // waits for the sender's next
///     message
class Channel {
 public:
  /// `self` is the rank whose side this is.
  Channel(const ChannelOptions& options, Rank self) : options_(options), self_(self) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  virtual ~Channel() = default;

  [[nodiscard]] const ChannelOptions& options() const noexcept { return options_; }

  /// A free slot of `capacity_bytes` for a message to the ranks `to`; commit() sends it. At most
  /// one slot at a time. It must be committed, also empty. With kLatest all peers get it, and `to`
  /// is not used. Blocks until the slowest receiver has released an older message. Throws
  /// TimeoutError naming that receiver.
  [[nodiscard]] std::span<std::byte> acquire(std::span<const Rank> to);

  /// Makes the acquired slot visible to its receivers. `sequence` is set by the channel; all else
  /// arrives as it is given here. Does not block.
  virtual void commit(const Header& header) = 0;

  /// The next message from this rank (kNext); the one before must have been released. Blocks until
  /// it is there. Throws TimeoutError naming the sender. This and the others that give messages
  /// throw gossip::Error for a header that check_header() refuses.
  [[nodiscard]] Message next(Rank from);

  /// The same without waiting: nothing when the next message is not there yet.
  [[nodiscard]] virtual std::optional<Message> try_next(Rank from) = 0;

  /// The next message of any of `ranks` (kNext): at least one rank, in ascending order; of each the
  /// message before must have been released. Blocks until there is one, but at most until
  /// `deadline` and for about `at_most`: then it returns nothing. Of several messages it gives that
  /// of the first rank after the one that it gave a message of last, in a circle: however fast one
  /// rank sends, a message that is there waits for at most one of each other rank.
  ///
  /// A wait may take many calls with one deadline, set when it began. It is in this wait that
  /// `while_waiting` is called every tenth of a second, and that this rank says after ten seconds
  /// for whom it waits. Between hosts, a channel with rounds takes in the next message of each of
  /// `ranks`, whatever its round: ask only for those that are due. Throws gossip::Error for ranks
  /// that are not in order.
  ///
  ///     const Deadline deadline(channel.options().timeout);
  ///     while (!late.empty()) {
  ///       const std::optional<Message> message = channel.next_any(late, deadline);
  ///       if (!message) throw channel.lateness_of(late.front());
  ///       std::erase(late, message->from());
  ///     }
  [[nodiscard]] std::optional<Message> next_any(
      std::span<const Rank> ranks, const Deadline& deadline,
      std::chrono::milliseconds at_most = std::chrono::milliseconds::max());

  /// What next() throws when this rank is late: for those who wait by next_any() for as long.
  [[nodiscard]] TimeoutError lateness_of(Rank from) const;

  /// The newest complete message of this rank (kLatest), the same one again if there is no newer;
  /// nothing before the first. Does not block.
  [[nodiscard]] virtual std::optional<Message> latest(Rank from) = 0;

  /// acquire() without waiting: an empty optional when all slots are in use; `blocking` then names
  /// a late receiver.
  [[nodiscard]] virtual std::optional<std::span<std::byte>> try_acquire(std::span<const Rank> to,
                                                                        Rank& blocking) = 0;

  /// Bytes of memory that this rank's side of the channel takes.
  [[nodiscard]] virtual std::size_t memory_bytes() const = 0;

 protected:
  /// Takes a slot that a Message read back from its receiver.
  virtual void release(Rank from, int slot) noexcept = 0;

 private:
  friend class Message;
  [[nodiscard]] std::optional<Message> try_next_any(std::span<const Rank> ranks);

  ChannelOptions options_;
  Rank self_;
  Rank given_last_ = -1;  // by next_any()
};

}  // namespace gossip::transport
