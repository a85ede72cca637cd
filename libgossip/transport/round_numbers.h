// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Rounds of a schedule as a channel counts them.

#include <cstdint>

#include <libgossip/base/error.h>
#include <libgossip/base/types.h>

namespace gossip::transport {

/// Numbers for rounds that only go up, as a channel's rounds must, also when a state is loaded that
/// lies behind. Ranks that go through the same rounds get the same numbers.
class RoundNumbers {
 public:
  [[nodiscard]] std::int64_t next(std::int64_t round) noexcept {
    if (round <= last_) ++turn_;
    last_ = round;
    return turn_ << kBits | round;
  }

  /// Throws gossip::Error unless the number that came from `sender` is this rank's.
  static void check(Rank sender, std::int64_t theirs, Rank own_rank, std::int64_t own) {
    GOSSIP_CHECK(
        round_of(theirs) == round_of(own),
        "Rank {} is in round {} while rank {} is in round {}: all ranks must make the same steps.",
        sender, round_of(theirs), own_rank, round_of(own));
    GOSSIP_CHECK(
        theirs == own,
        "Rank {} is in round {} again, but rank {} is not: a step of rank {} failed, or it "
        "loaded a state. All ranks must do so together, or make a new optimizer.",
        theirs > own ? sender : own_rank, round_of(own), theirs > own ? own_rank : sender,
        theirs > own ? sender : own_rank);
  }

 private:
  static constexpr int kBits = 40;

  [[nodiscard]] static std::int64_t round_of(std::int64_t number) noexcept {
    return number & ((std::int64_t{1} << kBits) - 1);
  }

  std::int64_t turn_ = 0;
  std::int64_t last_ = -1;
};

}  // namespace gossip::transport
