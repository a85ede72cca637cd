// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How ranks that train agree on when to save, without waiting for each other.

#include <cstdint>
#include <memory>
#include <optional>

#include <libgossip/base/deadline.h>
#include <libgossip/transport/group.h>

namespace gossip::train {

/// What a rank asks for; the ranks do the most that one of them asks for.
enum class Wish { kNone = 0, kSave = 1, kSaveAndStop = 2 };

/// A chain of reductions over the ranks, each of which starts when the one before was read. What a
/// rank asks for is known to all of them one or two reductions later.
///
/// Where all ranks make the same steps, each reduction is read in the same step by all: a number of
/// steps after its start that takes about a second, between 2 and 256, which follows from the
/// agreed time of a step. By then it is over, unless a rank is that far behind; then its result is
/// waited for. Elsewhere a rank reads it when it finds it over, and starts ten a second at most.
///
/// Collective: construction and destruction; the ranks make the same starts. One thread at a time.
class SaveAgreement {
 public:
  SaveAgreement(transport::Group& group, bool is_synchronous);

  struct Agreed {
    Wish wish = Wish::kNone;
    std::int64_t written = 0;  ///< the newest set that all ranks have on the disk
  };

  /// Starts a reduction after this rank's step number `step`, if none is under way and it is time.
  void start(std::int64_t step, Wish wish, std::int64_t written);

  /// After step number `step`: what a reduction has brought, if it is to be read now. Then none is
  /// under way. Throws TimeoutError after five minutes of waiting.
  [[nodiscard]] std::optional<Agreed> read(std::int64_t step);

  /// Ends what is under way where the ranks have met outside of their steps, and all call this.
  /// Blocks.
  void drain();

 private:
  void wait();

  transport::Group& group_;
  bool is_synchronous_;
  std::unique_ptr<transport::Largest> largest_;
  bool is_under_way_ = false;
  std::int64_t starts_ = 0;
  std::int64_t reading_step_ = 0;
  std::int64_t started_step_ = 0;
  std::int64_t steps_to_reading_ = 2;
  double seconds_per_step_ = 0.0;  // of this rank, in the reduction before
  std::optional<Clock::time_point> started_;
};

}  // namespace gossip::train
