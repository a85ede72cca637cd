// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How ranks that train agree on when to save, without waiting for each other.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include <libgossip/base/deadline.h>
#include <libgossip/transport/group.h>

namespace gossip::checkpoint {

/// What a rank asks for; the ranks do the most that one of them asks for.
enum class Wish { kNone = 0, kSave = 1, kSaveAndStop = 2 };

/// What a rank says of itself, and what holds for all of them together.
struct Report {
  Wish wish = Wish::kNone;   ///< of all: the strongest
  std::int64_t settled = 0;  ///< the newest set that it has on the disk or has given up; the oldest
  bool has_failed = false;   ///< it has given one up, and not told why; any
};

/// A chain of reductions over the ranks, each of which starts when the one before was read. What a
/// rank reports is known to all of them one or two reductions later.
///
/// Where all ranks make the same steps, each reduction is read in the same step by all: a number of
/// steps after its start that takes about a second, between 2 and 256, which follows from the
/// agreed time of a step. By then it is over, unless a rank is that far behind; then its result is
/// waited for. Elsewhere a rank reads it when it finds it over, and starts ten a second at most.
///
/// Collective: construction and destruction; the ranks make the same starts. Threads: one at a
/// time.
class SaveAgreement {
 public:
  /// `patience`: how long to wait for a rank that reports nothing.
  SaveAgreement(transport::Group& group, bool is_synchronous, std::chrono::milliseconds patience);

  /// Starts a reduction after this rank's step number `step`, if none is under way and it is time.
  void start(std::int64_t step, const Report& report);

  /// After step number `step`: what a reduction has brought, if it is to be read now. Then none is
  /// under way. Throws TimeoutError when a rank does not come.
  [[nodiscard]] std::optional<Report> read(std::int64_t step);

  /// Ends what is under way where the ranks have met outside of their steps, and all call this.
  /// Blocks. Throws TimeoutError.
  void drain();

 private:
  void wait();

  transport::Group& group_;
  bool is_synchronous_;
  std::chrono::milliseconds patience_;
  std::unique_ptr<transport::Largest> largest_;
  bool is_under_way_ = false;
  std::int64_t starts_ = 0;
  std::int64_t reading_step_ = 0;
  std::int64_t started_step_ = 0;
  std::int64_t steps_to_reading_ = 2;
  double seconds_per_step_ = 0.0;  // of this rank, in the reduction before
  std::optional<Clock::time_point> started_;
};

}  // namespace gossip::checkpoint
