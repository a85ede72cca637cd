// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How far all ranks are, known everywhere without waiting.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

/// Each rank tells its neighbors, some fifty times a second, how many steps it knows that each rank
/// has made; so the numbers spread over a connected graph, and a rank that is slow, paused or lost
/// holds nobody up. It also tells each neighbor how many of its messages it has taken in, where a
/// method counts them. Runs in the group's communication thread.
///
/// Collective: construction and destruction. Everything else is local and does not block.
/// Threads: any.
class Roster {
 public:
  /// `peers`: the ranks that this one tells; each names the other.
  Roster(transport::Group& group, std::vector<Rank> peers);
  Roster(const Roster&) = delete;
  Roster& operator=(const Roster&) = delete;
  ~Roster();

  /// This rank has made `steps` steps.
  void set_steps(std::int64_t steps);

  /// This rank goes on from `steps`, which may be fewer: to be called while all ranks are away. Of
  /// the others nothing counts any more until they tell where they are once they are back.
  void restart(std::int64_t steps);

  /// This rank has left the training loop, or is back.
  void set_away(bool is_away);

  /// This rank is back from a call that the others did not come to: it left without them.
  void come_back_alone();

  /// Whether a rank has left the training loop before this one, as far as this rank knows. Takes no
  /// lock: for loops that wait.
  [[nodiscard]] bool has_anyone_left() const noexcept { return has_anyone_left_; }

  /// This rank has taken in `count` messages of `peer`.
  void set_taken(Rank peer, std::int64_t count);

  /// How many messages of this rank `peer` has taken in; never more than it has.
  [[nodiscard]] std::int64_t taken_by(Rank peer) const;

  [[nodiscard]] std::int64_t steps_of(Rank rank) const;

  /// Of all ranks together: never more than they have made.
  [[nodiscard]] std::int64_t job_steps() const;

 private:
  /// What is told of each rank.
  enum Column : std::size_t { kSteps, kTaken, kTurns, kInVain, kColumns };

  [[nodiscard]] std::size_t index_of(Column column, Rank rank) const;
  [[nodiscard]] std::int64_t joint_turns(Rank rank) const;
  void set(std::size_t index, std::int64_t number);
  void look_for_who_left();
  transport::Activity look();
  void read(Rank peer, std::span<const std::byte> payload);
  bool publish();

  Rank rank_;
  std::vector<Rank> peers_;
  std::unique_ptr<transport::Channel> channel_;
  std::atomic<bool> has_anyone_left_{false};
  mutable std::mutex mutex_;
  std::vector<std::int64_t> numbers_;   // by rank: steps, then messages taken in, then how often
                                        // it left or came back, then how often of these alone. The
                                        // last two never fall; steps do not between two turns
  std::vector<std::int64_t> taken_by_;  // by rank
  bool has_changed_ = true;
  Clock::time_point next_look_ = Clock::now();
  std::unique_ptr<transport::Background::Work> work_;
};

}  // namespace gossip::engine
