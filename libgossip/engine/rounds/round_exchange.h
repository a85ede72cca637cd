// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The messages of rounds of neighbor averaging.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/engine/counters.h>
#include <libgossip/engine/membership.h>
#include <libgossip/policy/round_closing.h>
#include <libgossip/topology/matrices.h>
#include <libgossip/transport/edge_agreement.h>
#include <libgossip/transport/group.h>
#include <libgossip/transport/round_numbers.h>

namespace gossip::engine {

/// One message from each rank to each of its neighbors of a round, round by round: who they are,
/// what came from them, and with which weights it is to be mixed. What the messages hold is the
/// caller's.
///
/// With a membership that may drop, a neighbor that has been silent for the whole timeout is lost.
/// Where values are pulled, each header says which edges its sender uses in this round, and an edge
/// is used when both ends say so; with a lost neighbor at most the half of one exchange is lost
/// (Counters::halves_lost): it may have used this rank's message. Where values are pushed, what a
/// lost receiver would have got stays with its sender, and what the last message to it carried is
/// counted once (Counters::mass_lost).
///
/// Where rounds close as agreed, an edge is used when both ends accepted the other's value: see
/// transport::EdgeAgreement.
///
/// Collective: construction and destruction. Threads: one per rank; messages() may be read by
/// another while nothing else is called.
class RoundExchange {
 public:
  /// An in-neighbor of a round, in either matrix.
  struct Sender {
    Rank rank;
    double pull = 0.0;
    double push = 0.0;
  };

  /// `bytes`: of the longest message. `matrices`, for the group's size, and `membership`, if there
  /// is one, must outlive it; `closes_as_agreed` is the same on all. No channel for one rank alone.
  RoundExchange(transport::Group& group, const topology::Matrices& matrices,
                const topology::MatricesUsed& used, std::size_t bytes, const Patience& patience,
                Membership* membership, bool closes_as_agreed = false);

  /// Whether there are no other ranks: nothing else is to be called then.
  [[nodiscard]] bool is_alone() const noexcept { return !channel_; }

  /// Finds the neighbors of a round, unless its slot() is taken already, and leaves out who is
  /// lost; lets the messages of the last round go.
  void open(std::int64_t round);

  /// Begins the messages of a round, once: opens it, gives it its number, and says by what it
  /// closes; without `wait` when all are there.
  void begin(std::int64_t round, policy::WaitPolicy* wait = nullptr);

  /// Whether this rank sends anything in the round that is open.
  [[nodiscard]] bool has_receivers() const noexcept { return !receivers_.empty(); }
  [[nodiscard]] bool has_neighbors() const noexcept {
    return !receivers_.empty() || !senders_.empty();
  }

  /// Where the message of this round is to be written; the same memory until it is sent. Blocks
  /// until the last message there has been read by all. Throws TimeoutError naming the neighbor.
  [[nodiscard]] std::span<std::byte> slot();

  /// Sends the first `bytes` of slot(), with the push-sum weight `weight`; without receivers, that
  /// this rank is in the round.
  void send(std::size_t bytes, double weight);

  /// Says, in place of send(), that this rank gives nothing in this round: whom it would have sent
  /// to goes on without. What it would have pushed it keeps. Where values are only pulled it takes
  /// nothing either, so that a symmetric matrix stays so.
  void skip();

  /// Blocks until the in-neighbors' messages of this round are there. Throws TimeoutError naming
  /// the neighbor, the first of several. Of those who skip, or are lost, nothing is mixed: where
  /// values are pushed as well, the others and this rank share their part of the row in proportion;
  /// else the own value gets it. With a wait policy it blocks until that says that the round
  /// closes, and values that it does not accept are left out, too: they are released unread when
  /// they come. Rounds that close as agreed also wait for the words of those that were accepted.
  void receive();

  /// Blocks until all values have come and are released of rounds that closed without them: before
  /// this rank stops to make rounds, since their senders need the room. Throws TimeoutError naming
  /// the neighbor; nothing is waited for any more then.
  void drain();

  /// What came in this round: of the senders, in the order of their ranks.
  [[nodiscard]] const std::vector<transport::Message>& messages() const noexcept {
    return messages_;
  }

  /// Who sent them, one for each of messages().
  [[nodiscard]] const std::vector<Sender>& senders() const noexcept { return senders_; }

  /// This rank's own weights in this round.
  [[nodiscard]] const topology::Neighborhood& pull() const noexcept { return pull_; }
  [[nodiscard]] const topology::Neighborhood& push() const noexcept { return push_; }

  /// Lets the messages go.
  void release() noexcept { messages_.clear(); }

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::size_t memory_bytes() const {
    return (channel_ ? channel_->memory_bytes() : 0) +
           (agreement_ ? agreement_->memory_bytes() : 0);
  }

 private:
  [[nodiscard]] bool may_drop() const noexcept { return membership_ && membership_->may_drop(); }
  void find_neighbors(std::int64_t round);
  void add_push_neighbors(std::int64_t round);
  void leave_out_lost();
  [[nodiscard]] std::span<std::byte> acquire();
  [[nodiscard]] transport::Header header_of_round();
  void commit(transport::Header header);
  void receive_from_the_living();
  void receive_until_closed();
  void close_round();
  void release_owed();
  void release_late(const transport::Message& message);
  void list_polled();
  void take_or_release(transport::Message message);
  [[nodiscard]] policy::WaitPolicy& wait_policy() noexcept { return wait_ ? *wait_ : all_; }
  void take(transport::Message message);
  void forget_silent();
  void give_up_late(const Deadline& deadline);
  [[nodiscard]] bool is_used_by(Rank sender, const transport::Header& header);
  void write_off_lost();
  void discard_late();

  transport::Group& group_;
  const topology::Matrices& matrices_;
  topology::MatricesUsed used_;
  Membership* membership_;
  std::vector<Rank> peers_;  // of any round
  std::unique_ptr<transport::Channel> channel_;
  std::optional<transport::EdgeAgreement> agreement_;
  transport::RoundNumbers numbers_;
  policy::RoundClosing closing_;
  policy::WaitPolicy* wait_ = nullptr;  // of the round that is open
  policy::All all_;                     // of rounds without a policy after some that closed early
  Counters counters_;
  std::optional<std::span<std::byte>> slot_;  // acquired, not yet committed
  std::int64_t round_ = 0;                    // that is open
  std::int64_t number_ = 0;                   // of it
  bool is_skipping_ = false;                  // it
  std::uint16_t degree_ = 0;                  // edges used in the last round
  std::vector<double> last_weights_;          // by rank: what the last message to it carried
  // Kept between rounds so that a round allocates nothing.
  topology::Neighborhood pull_;
  topology::Neighborhood push_;
  topology::Neighborhood theirs_;
  std::vector<Sender> senders_;
  std::vector<Rank> late_;    // whose messages of this round are waited for
  std::vector<Rank> polled_;  // they and those that owe messages of earlier rounds, in a wait
  std::vector<Rank> receivers_;
  std::vector<transport::Message> messages_;
};

}  // namespace gossip::engine
