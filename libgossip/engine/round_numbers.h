// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Rounds of a schedule as a channel counts them.

#include <cstdint>

namespace gossip::engine {

/// Numbers for rounds that only go up, as a channel's rounds must, also when a state is loaded that
/// lies behind. Ranks that go through the same rounds get the same numbers.
class RoundNumbers {
 public:
  [[nodiscard]] std::int64_t next(std::int64_t round) noexcept {
    if (round <= last_) ++turn_;
    last_ = round;
    return turn_ << kBits | round;
  }

  [[nodiscard]] static std::int64_t round_of(std::int64_t number) noexcept {
    return number & ((std::int64_t{1} << kBits) - 1);
  }

 private:
  static constexpr int kBits = 40;

  std::int64_t turn_ = 0;
  std::int64_t last_ = -1;
};

}  // namespace gossip::engine
