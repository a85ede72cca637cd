// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/random.h>

namespace gossip {
namespace {

TEST(SplitMix64, GivesThePublishedSequence) {
  SplitMix64 generator(1234567);

  EXPECT_EQ(generator(), 6457827717110365317U);
  EXPECT_EQ(generator(), 3203168211198807973U);
  EXPECT_EQ(generator(), 9817491932198370423U);
  EXPECT_EQ(generator(), 4593380528125082431U);
  EXPECT_EQ(generator(), 16408922859458223821U);
  EXPECT_EQ(SplitMix64(0)(), 0xe220a8397b1dcdafU);
}

TEST(SplitMix64, StreamsOfDifferentSeedsAndIndicesDiffer) {
  std::set<std::uint64_t> first;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    for (std::uint64_t index = 0; index < 100; ++index) {
      first.insert(SplitMix64::at(seed, index)());
    }
  }

  EXPECT_EQ(first.size(), 10000U);
  EXPECT_EQ(SplitMix64::at(3, 4)(), SplitMix64::at(3, 4)());
}

TEST(SplitMix64, StreamsOfNeighboringIndicesAreNotShiftsOfOneAnother) {
  std::set<std::uint64_t> values;
  for (std::uint64_t index = 0; index < 64; ++index) {
    SplitMix64 generator = SplitMix64::at(1, index);
    for (int k = 0; k < 64; ++k) values.insert(generator());
  }

  EXPECT_EQ(values.size(), 64U * 64U);
}

TEST(SplitMix64, BelowOneIsZero) { EXPECT_EQ(SplitMix64(5).below(1), 0U); }

TEST(SplitMix64, BelowReachesEveryValueAboutEquallyOften) {
  constexpr std::size_t kBound = 6;
  constexpr int kDraws = 60000;
  std::array<int, kBound> counts{};
  SplitMix64 generator(42);

  for (int k = 0; k < kDraws; ++k) ++counts.at(generator.below(kBound));

  const double expected = kDraws / static_cast<double>(kBound);
  double chi_squared = 0.0;
  for (const int count : counts) chi_squared += (count - expected) * (count - expected) / expected;
  EXPECT_LT(chi_squared, 20.5);  // 5 degrees of freedom, p = 0.001
}

TEST(SplitMix64, BelowHasNoBiasTowardsSmallValues) {
  // Of 2^64 values a plain remainder would give those below 2^62 twice as often as the others.
  constexpr std::uint64_t kBound = std::uint64_t{3} << 62U;
  constexpr int kDraws = 30000;
  SplitMix64 generator(7);
  int small = 0;

  for (int k = 0; k < kDraws; ++k) {
    const std::uint64_t value = generator.below(kBound);
    ASSERT_LT(value, kBound);
    small += value < kBound / 3 ? 1 : 0;
  }

  EXPECT_NEAR(small, kDraws / 3, 500);  // six standard deviations; the biased one gives 15000
}

TEST(SplitMix64, UnitIsUniformInTheHalfOpenInterval) {
  SplitMix64 generator(9);
  std::vector<double> values(10000);
  for (double& value : values) value = generator.unit();
  std::ranges::sort(values);

  EXPECT_GE(values.front(), 0.0);
  EXPECT_LT(values.back(), 1.0);
  double distance = 0.0;  // Kolmogorov-Smirnov
  for (std::size_t k = 0; k < values.size(); ++k) {
    distance = std::max(distance, std::abs(values[k] - static_cast<double>(k) / 10000.0));
  }
  EXPECT_LT(distance, 0.02);
}

}  // namespace
}  // namespace gossip
