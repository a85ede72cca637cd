// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Who is there: which ranks live, train, have left, are lost, and how far they are.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/base/types.h>
#include <libgossip/engine/counters.h>
#include <libgossip/policy/on_lost_neighbor.h>
#include <libgossip/policy/silence.h>
#include <libgossip/transport/group.h>
#include <libgossip/transport/progress_report.h>

namespace gossip::engine {

/// How another rank stands, as this one sees it: the ranks do not agree on it.
enum class MemberState : std::uint8_t {
  kAlive,
  kSuspect,  ///< a neighbor that policy::Silence calls suspicious; it may come back
  kLost,     ///< a neighbor that is given up, for good
  kLeft,     ///< out of the training loop, for a collective call or for good
};

struct MembershipOptions {
  std::chrono::milliseconds timeout = std::chrono::minutes(5);  ///< of a neighbor's silence
  policy::OnLostNeighbor on_lost_neighbor = policy::OnLostNeighbor::kError;
  bool counts_messages = false;  ///< set_taken() and taken_by() are used
};

/// The one place that knows of the other ranks. Every rank reports to its neighbors, and to a few
/// ranks more (those 1, 2, 4, ... before and after it), what it knows of the progress of all: how
/// many steps each has made, and whether it has left the training loop. So reports spread within a
/// few of their intervals, which are 20 to 100 ms (from 64 ranks on), and a rank that is slow,
/// paused or lost holds nobody up. The communication thread sends them, so that they are signs of
/// life also while a step takes long. A report on 64 ranks has some 300 bytes with its header, on
/// 1000 some 2 to 4 kB.
///
/// Ranks leave the training loop together: for a collective call, or for good. One that leaves
/// before the others is named to those who wait for its next step.
///
/// A neighbor without a sign of life becomes suspect after policy::Silence::limit_seconds();
/// nothing but counters and a message in the log follows from that yet. One that does not do for
/// `timeout` what a method waits for, or, with policy::OnLostNeighbor::kDrop, gives no sign of life
/// for so long, is lost: an error or, with kDrop, a warning, and a higher epoch, which spreads to
/// all ranks.
///
/// Collective: construction and destruction. Everything else is local and does not block. Threads:
/// any.
class Membership {
 public:
  /// `neighbors`: the ranks that this one talks with; each names the other. Without: a method of
  /// all ranks with all. Then none is given up or suspected here.
  Membership(transport::Group& group, std::optional<std::vector<Rank>> neighbors,
             const MembershipOptions& options = {});
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;
  ~Membership();

  // --- progress

  /// This rank has made `steps` steps.
  void set_steps(std::int64_t steps);

  /// This rank goes on from `steps`, which may be fewer: to be called while all ranks are away. Of
  /// the others nothing counts any more until they report where they are once they are back.
  void restart(std::int64_t steps);

  [[nodiscard]] std::int64_t steps_of(Rank rank) const;

  /// Steps of all ranks together: never more than they have made.
  [[nodiscard]] std::int64_t job_steps() const;

  /// This rank has taken in `count` messages of `peer`, a neighbor.
  void set_taken(Rank peer, std::int64_t count);

  /// How many messages of this rank `peer` has taken in; never more than it has.
  [[nodiscard]] std::int64_t taken_by(Rank peer) const;

  // --- the training loop

  /// This rank leaves the loop, or comes back. All ranks leave equally often, but for absences that
  /// end with come_back_alone(): from a call that the others did not come to. A second leave(), or
  /// a second return, changes nothing.
  void leave();
  void come_back();
  void come_back_alone();

  /// Whether this rank has left.
  [[nodiscard]] bool has_left() const;

  /// Whether any rank has left the training loop before this one, as far as this rank knows. Takes
  /// no lock: for loops that wait.
  [[nodiscard]] bool has_anyone_left() const noexcept { return has_anyone_left_; }

  /// For waits of this rank's step number `step` (from 0): throws gossip::Error, naming the rank,
  /// when a neighbor has left the loop before that step and for something that this rank has not
  /// come to.
  void check_all_train(std::int64_t step);

  // --- life and loss

  [[nodiscard]] MemberState state_of(Rank rank) const;

  /// As state_of() says, without a lock: for every step.
  [[nodiscard]] bool is_lost(Rank rank) const noexcept {
    return is_lost_[static_cast<std::size_t>(rank)];
  }
  [[nodiscard]] bool may_drop() const noexcept {
    return options_.on_lost_neighbor == policy::OnLostNeighbor::kDrop;
  }

  /// A neighbor did what a method waits for, or nothing is expected of it.
  void note_progress(Rank peer);

  /// Whether a method has waited for `peer` longer than the timeout; warns once, before that.
  [[nodiscard]] bool is_overdue(Rank peer);

  /// Gives up `peer`, which did not do `what` for `seconds`, since its last progress without:
  /// with a warning and a higher epoch, or throws a TimeoutError that names it.
  void lose(Rank peer, std::string_view what, std::optional<double> seconds = {});

  /// Rises when a rank is given up, anywhere, as far as this rank has heard. It does not count
  /// losses: two at once may show as one, and one that both ends find out as two.
  [[nodiscard]] std::uint32_t epoch() const noexcept { return epoch_; }

  // --- messages of the methods

  /// A header that says where this rank stands.
  [[nodiscard]] transport::Header header() const;

  /// Takes in what the header of a neighbor's message says of it.
  void hear(Rank from, const transport::Header& header);

  /// Adds what was counted here.
  void add_to(Counters& counters) const;

 private:
  /// A neighbor's life, and what a method waits for.
  struct Neighbor {
    Rank rank;
    policy::Silence silence;
    RunningClock::time_point progress_at;
    bool has_warned = false;
    bool is_suspect = false;
  };
  struct Peer {
    Rank rank;
    std::uint64_t sequence = 0;  // of its last report
    std::int64_t taken = 0;      // messages of this rank
  };

  [[nodiscard]] std::int64_t joint_turns(std::size_t rank) const;
  [[nodiscard]] std::size_t self() const { return static_cast<std::size_t>(rank_); }
  [[nodiscard]] Neighbor* find(Rank rank);
  [[nodiscard]] transport::Header header_now() const;
  void turn(bool is_alone);
  void find_who_left();
  [[nodiscard]] bool has_left(std::size_t rank) const { return joint_turns(rank) % 2 == 1; }
  transport::Activity poll();
  void read_reports();
  void read(Peer& peer, const transport::Message& report);
  void merge();
  void judge(Neighbor& neighbor);
  void revive(Neighbor& neighbor);
  void give_up(Neighbor& neighbor, std::string_view why);
  bool report();
  void report_now();

  transport::Group& group_;
  Rank rank_;
  MembershipOptions options_;
  std::vector<Rank> awaited_;  // whose steps this rank waits for
  std::vector<Rank> peer_ranks_;
  std::unique_ptr<transport::Channel> channel_;  // none for one rank
  std::chrono::milliseconds interval_;
  std::uint32_t incarnation_;
  std::atomic<bool> has_anyone_left_{false};
  std::atomic<std::uint32_t> epoch_{0};
  std::vector<std::atomic<bool>> is_lost_;  // by rank
  mutable std::mutex mutex_;                // of what follows
  transport::Progress progress_;
  transport::Progress reported_;                // by the peer that is being read
  std::vector<Neighbor> neighbors_;             // all three lists in the order of the ranks
  std::vector<transport::ReportedEdge> edges_;  // to the neighbors, in the same order
  std::vector<Peer> peers_;
  std::int64_t neighbors_lost_ = 0;
  std::int64_t suspected_ = 0;
  std::int64_t false_suspicions_ = 0;
  std::uint64_t beat_ = 0;
  RunningClock::time_point step_began_;
  Clock::time_point next_report_;
  std::unique_ptr<transport::Background::Work> work_;  // ends first
};

}  // namespace gossip::engine
