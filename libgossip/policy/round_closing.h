// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// When a round closes on one rank, by a wait policy.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/policy/mask.h>
#include <libgossip/policy/wait.h>

namespace gossip::policy {

/// The one place in which a WaitPolicy is asked: keeps what the policy gets to see, and remembers
/// which values are still to come of rounds that closed without them. Takes times, which never go
/// back. Local; allocates nothing once it has seen the most neighbors.
class RoundClosing {
 public:
  using Time = RunningClock::time_point;

  /// For neighbors with ranks below `ranks`.
  explicit RoundClosing(int ranks);

  /// The own value of round `round` is ready, whose messages have the number `number`. Its
  /// in-neighbors are to be added then, in the order of their ranks.
  void open(std::int64_t round, std::int64_t number, Time now);
  void add(Rank neighbor);

  /// The value of this round is there.
  void note_arrival(Rank neighbor, Time now);

  /// Whether values of rounds that closed without them are still to come from a neighbor; they come
  /// before the one of this round.
  [[nodiscard]] bool is_owed(Rank neighbor) const {
    return owed_[static_cast<std::size_t>(neighbor)] > 0;
  }

  /// Whether they are from any neighbor.
  [[nodiscard]] bool is_owed_any() const noexcept { return num_owed_ > 0; }

  /// One of them, of round `number`, has come: `policy` learns of it.
  void note_late(Rank neighbor, std::int64_t number, WaitPolicy& policy, Time now);

  /// Nothing is to come from a neighbor any more.
  void forget(Rank neighbor);

  /// A round went without a policy: what passed since the last one with it is no step.
  void rest() noexcept { closed_ = Time(); }

  /// What the policy says of the round as it is now.
  [[nodiscard]] WaitPolicy::Verdict ask(const WaitPolicy& policy, Time now);

  /// After a verdict that closes: the policy learns what came in time. Entry m says whether the
  /// m-th neighbor is mixed. Those that are not there are owed from now on.
  [[nodiscard]] const Mask& close(WaitPolicy& policy, Time now);

  /// As long as ask() says, but not as short that the wait would be spent on looking at the clock.
  [[nodiscard]] static std::chrono::milliseconds wait_time(double seconds);

 private:
  static constexpr std::size_t kRemembered = 64;  // rounds, for the offsets of late values
  static constexpr std::size_t kSteps = 9;        // whose median the policy gets to see

  [[nodiscard]] double since_ready(std::int64_t number, Time now) const;
  void note_step(Time now);

  std::int64_t round_ = 0;
  std::int64_t number_ = 0;
  std::int64_t num_owed_ = 0;
  std::array<Time, kRemembered> ready_{};  // when the own value was, by number of the round
  std::vector<std::int64_t> owed_;         // by rank: values
  std::vector<std::int64_t> silence_;      // by rank: rounds since it was mixed
  Time closed_{};                          // when the last round was
  std::int64_t num_steps_ = 0;
  std::array<double, kSteps> steps_{};  // seconds from a closing to the next own value
  double step_seconds_ = 0.0;           // their median
  std::vector<NeighborView> views_;
  RoundView view_;
  Mask accepted_;
  std::vector<double> offsets_;
};

}  // namespace gossip::policy
