// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A small seeded generator whose sequence is the same on every machine and every compiler.

#include <cstdint>

namespace gossip {

/// SplitMix64 (Steele, Lea, Flood 2014). Satisfies UniformRandomBitGenerator. The standard's
/// distributions and std::shuffle differ between libraries, so schedules and shards use below() and
/// unit() only.
class SplitMix64 {
 public:
  using result_type = std::uint64_t;

  explicit constexpr SplitMix64(std::uint64_t seed) noexcept : state_(seed) {}

  /// A generator for one item of a numbered family: the streams of different (seed, index) are
  /// unrelated.
  static constexpr SplitMix64 at(std::uint64_t seed, std::uint64_t index) noexcept {
    SplitMix64 of_seed(seed);
    SplitMix64 of_index(of_seed() ^ (index * 0xD1B54A32D192ED03ULL));
    return SplitMix64(of_index());
  }

  constexpr result_type operator()() noexcept {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }

  /// Uniform in [0, bound), without bias. `bound` > 0.
  constexpr std::uint64_t below(std::uint64_t bound) noexcept {
    const std::uint64_t threshold = (0 - bound) % bound;
    std::uint64_t value = (*this)();
    while (value < threshold) value = (*this)();
    return value % bound;
  }

  /// Uniform in [0, 1), with 53 random bits.
  constexpr double unit() noexcept { return static_cast<double>((*this)() >> 11U) * 0x1.0p-53; }

  static constexpr result_type min() noexcept { return 0; }
  static constexpr result_type max() noexcept { return ~std::uint64_t{0}; }

 private:
  std::uint64_t state_;
};

}  // namespace gossip
