// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Second messages of a round, by which the two ends of an edge agree whether they use it.

#include <cstdint>
#include <memory>
#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/transport/channel.h>
#include <libgossip/transport/group.h>

namespace gossip::transport {

/// In each round each rank tells its neighbors whose values it has accepted (Header::accepted), and
/// an edge is used when both ends accepted: of a symmetric matrix the weights that are left are
/// symmetric. Without payload, through a channel of its own: the values lie there meanwhile.
///
/// Nobody can wait for itself: telling needs nobody's word, and each rank waits only for the words
/// of whom it accepted, who have sent their values and so are in the round, or beyond it. *All*
/// ranks must agree in all their rounds, also those that accept everybody, or nobody: their
/// neighbors wait for their word. Words of others are taken, unread, when they come.
///
/// Collective: construction and destruction. Threads: one per rank. Allocates nothing once it has
/// seen the most neighbors.
class EdgeAgreement {
 public:
  /// `schedule`, which is symmetric and has at most kMostEdgesInUse neighbors a rank in every
  /// round, must outlive it. Of `options` it uses timeout, while_waiting and peers, which are the
  /// neighbors of this rank in any round, in ascending order. While a wait for a slot or for other
  /// messages lasts, take_late() is to be called.
  EdgeAgreement(Group& group, const topology::Schedule& schedule, const ChannelOptions& options);

  /// Of the values that this rank has accepted in `round`, in the order of their senders, leaves
  /// those whose senders have accepted its own. `number`: of the round's messages. Blocks until
  /// these senders have told. Returns how many it has taken out. Throws TimeoutError naming the
  /// first that has not told.
  std::int64_t agree(std::int64_t round, std::int64_t number, std::vector<Message>& accepted);

  /// Takes what has come of words that nobody waits for: their senders need the room. Does not
  /// block.
  void take_late();

  /// Blocks until all of them have come: before this rank stops to make rounds. Throws
  /// TimeoutError naming the neighbor; nothing is waited for any more then.
  void drain();

  /// Waits for nothing any more.
  void forget();

  [[nodiscard]] std::size_t memory_bytes() const { return channel_->memory_bytes(); }

 private:
  void tell(const std::vector<Message>& accepted);
  void take_next(const Deadline& deadline, std::vector<Message>& accepted);
  void take(const Header& header, Rank sender, std::vector<Message>& accepted);
  void list_polled();
  [[nodiscard]] std::int64_t& owed(Rank rank) { return owed_[static_cast<std::size_t>(rank)]; }

  const topology::Schedule& schedule_;
  Rank self_;
  std::vector<Rank> peers_;
  std::unique_ptr<Channel> channel_;
  std::int64_t round_ = 0;
  std::int64_t number_ = 0;
  std::vector<std::int64_t> owed_;  // by rank: words to come that nobody waits for
  std::int64_t num_owed_ = 0;
  // Kept between rounds so that a round allocates nothing.
  topology::Neighborhood own_;
  topology::Neighborhood theirs_;
  std::vector<Rank> receivers_;
  std::vector<Rank> awaited_;  // whose word of this round is waited for
  std::vector<Rank> polled_;   // they and those that owe words, while a wait lasts
};

}  // namespace gossip::transport
