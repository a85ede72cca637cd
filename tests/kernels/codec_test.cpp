// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/kernels/codec.h>

namespace gossip::kernels {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Q(values), by way of the encoded bytes.
template <class T>
std::vector<T> compressed(double fraction, std::vector<T> values, double weight = 1.0) {
  TopK codec(fraction);
  const VectorView view = std::span<T>(values);
  std::vector<double> memory(codec.max_bytes(view) / sizeof(double));  // aligned
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(memory));
  const std::size_t used = codec.encode(view, bytes);
  EXPECT_LE(used, bytes.size());
  EXPECT_EQ(used % 8, 0U);
  std::vector<T> result(values.size(), T{0});
  codec.add(bytes.first(used), weight, std::span<T>(result));
  return result;
}

TEST(TopK, KeepsTheLargestMagnitudes) {
  EXPECT_THAT(compressed<double>(0.4, {1.0, -5.0, 2.0, 3.0, -0.5}),
              ElementsAre(0.0, -5.0, 0.0, 3.0, 0.0));
  EXPECT_THAT(compressed<float>(1.0, {1.0F, -5.0F, 2.0F}), ElementsAre(1.0F, -5.0F, 2.0F));
  EXPECT_THAT(compressed<double>(0.5, {1.0, -4.0}, 0.25), ElementsAre(0.0, -1.0));
}

TEST(TopK, KeepsTheFirstOfEqualOnes) {
  EXPECT_THAT(compressed<double>(0.2, {2.0, -3.0, 3.0, -3.0, 3.0}),
              ElementsAre(0.0, -3.0, 0.0, 0.0, 0.0));
  EXPECT_THAT(compressed<float>(0.5, {1.0F, 1.0F, 1.0F, 1.0F}),
              ElementsAre(1.0F, 1.0F, 0.0F, 0.0F));
}

TEST(TopK, KeepsNaNFirstAndTheLargestOfTheRest) {
  using Limits = std::numeric_limits<double>;
  const double nan = Limits::quiet_NaN();
  const auto is_nan = testing::IsNan();
  EXPECT_THAT(compressed<double>(0.6, {1.0, nan, -Limits::infinity(), 3.0, -nan}),
              ElementsAre(0.0, is_nan, -Limits::infinity(), 0.0, is_nan));
  EXPECT_THAT(compressed<double>(0.5, {nan, 2.0, -nan, nan}), ElementsAre(is_nan, 0.0, is_nan, 0.0))
      << "the first ones of several";
  const float few = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(compressed<float>(0.5, {5.0F, few, 1.0F, 9.0F}),
              ElementsAre(0.0F, testing::IsNan(), 0.0F, 9.0F));
}

TEST(TopK, DependsOnTheValuesAloneWithNaNInAnyPlace) {
  SplitMix64 random(3);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<double> values;
    for (int i = 0; i < 100; ++i) {
      const bool is_nan = random.below(5) == 0;
      values.push_back(is_nan ? std::numeric_limits<double>::quiet_NaN() : random.unit() - 0.5);
    }
    const std::vector<double> kept = compressed(0.4, values);
    double smallest_kept = 1.0;
    double largest_dropped = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(std::isnan(kept[i]), std::isnan(values[i])) << "entry " << i;
      if (std::isnan(values[i])) continue;
      double& bound = kept[i] != 0.0 ? smallest_kept : largest_dropped;
      bound = kept[i] != 0.0 ? std::min(bound, std::abs(values[i]))
                             : std::max(bound, std::abs(values[i]));
    }
    EXPECT_GT(smallest_kept, largest_dropped);
  }
}

TEST(TopK, KeepsAtLeastOneAndNothingOfNothing) {
  EXPECT_THAT(compressed<double>(1e-6, {1.0, 2.0, -3.0}), ElementsAre(0.0, 0.0, -3.0));
  EXPECT_TRUE(compressed<float>(0.5, {}).empty());
}

TEST(TopK, LeavesWhatWasCompressedAsItIs) {
  std::vector<double> values;
  for (int i = 0; i < 100; ++i) values.push_back((i * 37) % 101 - 50.0);
  const std::vector<double> once = compressed(0.1, values);
  EXPECT_EQ(compressed(0.1, once), once);
}

TEST(TopK, CountsWhatItWorksIn) {
  TopK codec(0.1);
  std::vector<float> values(1000, 1.0F);
  codec.reserve(std::span<float>(values));
  EXPECT_EQ(codec.memory_bytes(), 4000U);
}

TEST(TopK, RefusesFractionsThatAreNone) {
  for (const double fraction : {0.0, -0.1, 1.1}) {
    try {
      const TopK codec(fraction);
      ADD_FAILURE() << fraction << " was accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("above 0 and at most 1"));
    }
  }
}

}  // namespace
}  // namespace gossip::kernels
