// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// When a round closes, and with whom.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include <libgossip/base/types.h>
#include <libgossip/policy/mask.h>

namespace gossip::policy {

inline constexpr double kForever = std::numeric_limits<double>::infinity();

/// What a rank knows about one in-neighbor when it asks. Seconds are those of any clock.
struct NeighborView {
  Rank rank = 0;
  /// A value of this round is there; for policies that read the latest value, one of any round.
  bool has_arrived = false;
  /// When it came, since the own value was ready; below 0 counts as 0. Of a late one: so far.
  double offset = 0.0;
  std::int64_t age = 0;             ///< rounds that the value is behind; below 0: ahead
  std::int64_t silence = 0;         ///< rounds since its value was last accepted
  double squared_difference = 0.0;  ///< |x_j - x_i|^2; 0: not known
  double log_rate = 0.0;            ///< of the neighbor's step size
};

/// What a rank knows of a round that is open.
struct RoundView {
  std::int64_t round = 0;
  double elapsed = 0.0;                     ///< seconds since the own value was ready
  double step_seconds = 0.0;                ///< the median of the own steps; 0: not known
  std::span<const NeighborView> neighbors;  ///< in the order of the ranks
};

/// When a synchronous round closes on one rank: a function of what was measured, without a clock of
/// its own, so that processes, threads and simulations decide alike, and a recorded view is a test.
/// Ranks may have different policies. What a closed round mixes: policy/renormalize.h.
///
/// Local, does not block, and allocates nothing once learn() and accept() have seen the most that
/// comes. Not for calls from several threads.
class WaitPolicy {
 public:
  struct Verdict {
    bool closes;
    double ask_again;  ///< seconds from now, if nothing arrives before; kForever: at an arrival
  };

  WaitPolicy() = default;
  WaitPolicy(const WaitPolicy&) = delete;
  WaitPolicy& operator=(const WaitPolicy&) = delete;
  virtual ~WaitPolicy() = default;

  /// Whether the round closes now.
  [[nodiscard]] virtual Verdict decide(const RoundView& view) const = 0;

  /// The neighbors of a round that decide() closes with this view. Who asks late gets the same ones
  /// as who asks in time. Of equally early neighbors the lower ranks come first. Reuses the memory
  /// of `accepted`.
  virtual void accept(const RoundView& view, Mask& accepted) const;

  /// Takes in offsets in seconds, each value's once: those there at closing, then; late ones when
  /// they come; of one that never comes, its age when it was given up. Without the late ones a
  /// policy would see only what its own deadline let through, and close earlier and earlier. Throws
  /// gossip::Error for one that is not finite.
  virtual void learn(std::span<const double> offsets);

  /// Whether each neighbor's newest value is wanted, of whatever round (Reading::kLatest of a
  /// channel). If not, it is the value of this round, and whoever closes without some must later
  /// release their values unread, or their senders find no free slot and wait after all.
  [[nodiscard]] virtual bool reads_latest() const noexcept { return false; }
};

/// Waits for all: rounds as they are without a policy.
class All final : public WaitPolicy {
 public:
  [[nodiscard]] Verdict decide(const RoundView& view) const override;
};

/// Waits for the first `count` neighbors, or for all where there are fewer, and takes no others.
class Fastest final : public WaitPolicy {
 public:
  /// Throws gossip::Error unless `count` is at least 1.
  explicit Fastest(int count);

  [[nodiscard]] Verdict decide(const RoundView& view) const override;
  /// Takes time proportional to `count` times the neighbors.
  void accept(const RoundView& view, Mask& accepted) const override;

 private:
  std::size_t count_;
};

/// Waits for at most so many seconds, and takes who came until then. With a quorum it waits on
/// until so many are there (all, where there are fewer), and takes these.
class Deadline final : public WaitPolicy {
 public:
  /// Throws gossip::Error unless `seconds` and `quorum` are at least 0.
  explicit Deadline(double seconds, int quorum = 0);

  [[nodiscard]] Verdict decide(const RoundView& view) const override;
  void accept(const RoundView& view, Mask& accepted) const override;

 private:
  double seconds_;
  std::size_t quorum_;
};

struct AdaptiveDeadlineOptions {
  double kappa = 3.0;    ///< how many (robust) standard deviations above the median are waited for
  int window = 64;       ///< the last offsets that count
  int least_known = 16;  ///< until so many are known it waits for all
  std::optional<double> slack = {};  ///< seconds; without: a tenth of the median own step
  double cap = kForever;  ///< seconds that it waits at most, as soon as it has a deadline
};

/// A Deadline of \f$ \min(\text{cap},\ m + \max(1.4826\,\kappa\,\text{MAD}, \text{slack})) \f$,
/// where m is the median of the last offsets and MAD the median of their distances from it.
class AdaptiveDeadline final : public WaitPolicy {
 public:
  /// Throws gossip::Error unless 1 <= least_known <= window, and the others are at least 0.
  explicit AdaptiveDeadline(AdaptiveDeadlineOptions options = {});

  [[nodiscard]] Verdict decide(const RoundView& view) const override;
  void accept(const RoundView& view, Mask& accepted) const override;
  /// Takes time proportional to the window.
  void learn(std::span<const double> offsets) override;

  /// The deadline in seconds for a rank whose steps take so long. kForever while too few offsets
  /// are known, or the slack is to come from steps and these are not: then it waits for all.
  [[nodiscard]] double seconds(double step_seconds = 0.0) const;

 private:
  [[nodiscard]] bool is_known() const noexcept;

  AdaptiveDeadlineOptions options_;
  std::vector<double> offsets_;  // a ring, once it is full
  std::size_t oldest_ = 0;
  std::vector<double> scratch_;
  double median_ = 0.0;
  double deviation_ = 0.0;  // MAD
};

/// Waits until each neighbor's newest value is at most so many rounds old, and takes them all.
class BoundedStaleness final : public WaitPolicy {
 public:
  /// Throws gossip::Error unless `most_rounds` is at least 0.
  explicit BoundedStaleness(std::int64_t most_rounds = 4);

  [[nodiscard]] Verdict decide(const RoundView& view) const override;
  [[nodiscard]] bool reads_latest() const noexcept override { return true; }

 private:
  std::int64_t most_rounds_;
};

/// A round that has closed.
struct Closing {
  Mask accepted;
  double seconds;  ///< since the own value was ready
};

/// How a policy closes a round whose values, all of this round, come at `offsets`, in the order of
/// the ranks: asks it at the start, at each arrival and when it wants to be asked. A value with the
/// offset kForever never comes. Throws gossip::Error when the round does not close.
[[nodiscard]] Closing close(const WaitPolicy& policy, std::span<const double> offsets);

}  // namespace gossip::policy
