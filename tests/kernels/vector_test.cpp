// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/random.h>
#include <libgossip/kernels/vector.h>

namespace gossip::kernels {
namespace {

/// 0, 1, odd, the block of the many-source pass and its neighbors, several blocks.
const std::vector<std::size_t> kSizes = {0, 1, 2, 3, 7, 63, 64, 65, 1023, 2047, 2048, 2049, 10007};

template <class T>
class Kernels : public testing::Test {
 protected:
  /// Uniform in [-1, 1), the same for the same seed. What lies behind the end is watched.
  static std::vector<T> random_vector(std::size_t size, std::uint64_t seed) {
    SplitMix64 generator(seed);
    std::vector<T> values(size + 1);
    for (T& value : values) value = static_cast<T>(2.0 * generator.unit() - 1.0);
    values.back() = kFence;
    return values;
  }
  static std::span<T> inner(std::vector<T>& values) { return {values.data(), values.size() - 1}; }
  static std::span<const T> inner(const std::vector<T>& values) {
    return {values.data(), values.size() - 1};
  }
  static bool is_fence_whole(const std::vector<T>& values) { return values.back() == kFence; }

  static constexpr T kFence = T{12345};
  static constexpr double kTolerance = 16.0 * std::numeric_limits<T>::epsilon();
};

using Elements = testing::Types<float, double>;
TYPED_TEST_SUITE(Kernels, Elements);

TYPED_TEST(Kernels, CombineIsTheLinearCombinationAlsoInPlace) {
  using T = TypeParam;
  for (const std::size_t count : {0U, 1U, 2U, 3U, 4U, 6U}) {
    for (const std::size_t size : kSizes) {
      SCOPED_TRACE(testing::Message() << count << " sources of " << size);
      std::vector<std::vector<T>> vectors;
      for (std::size_t j = 0; j < count; ++j) vectors.push_back(this->random_vector(size, 10 + j));
      std::vector<double> expected(size, 0.0);
      std::vector<Source<T>> sources;
      for (std::size_t j = 0; j < count; ++j) {
        const double weight = j % 2 == 0 ? 0.5 + static_cast<double>(j) : -1.0;
        sources.push_back({vectors[j].data(), weight});
        for (std::size_t k = 0; k < size; ++k) {
          expected[k] += weight * static_cast<double>(vectors[j][k]);
        }
      }
      std::vector<T> other = this->random_vector(size, 1);
      combine(this->inner(other), std::span<const Source<T>>(sources));
      for (std::size_t k = 0; k < size; ++k) {
        EXPECT_NEAR(other[k], expected[k], 10 * this->kTolerance);
      }
      EXPECT_TRUE(this->is_fence_whole(other));
      if (count == 0) continue;
      std::vector<T>& last = vectors.back();
      combine(this->inner(last), std::span<const Source<T>>(sources));
      for (std::size_t k = 0; k < size; ++k) EXPECT_EQ(last[k], other[k]);
      EXPECT_TRUE(this->is_fence_whole(last));
    }
  }
}

TYPED_TEST(Kernels, AddAndAddDifferencesKeepWhatWasThere) {
  using T = TypeParam;
  for (const std::size_t count : {0U, 1U, 3U, 4U, 5U, 9U}) {
    for (const std::size_t size : kSizes) {
      SCOPED_TRACE(testing::Message() << count << " sources of " << size);
      const std::vector<T> x = this->random_vector(size, 1);
      std::vector<T> sum = this->random_vector(size, 2);
      std::vector<T> differences = sum;
      std::vector<std::vector<T>> vectors;
      std::vector<Source<T>> sources;
      for (std::size_t j = 0; j < count; ++j) {
        vectors.push_back(this->random_vector(size, 10 + j));
        sources.push_back({vectors[j].data(), 0.1 + 0.2 * static_cast<double>(j)});
      }
      const std::vector<T> before = sum;

      add(this->inner(sum), std::span<const Source<T>>(sources));
      add_differences(this->inner(differences), this->inner(x),
                      std::span<const Source<T>>(sources));

      for (std::size_t k = 0; k < size; ++k) {
        double of_sources = 0.0;
        double of_differences = 0.0;
        for (std::size_t j = 0; j < count; ++j) {
          of_sources += sources[j].weight * static_cast<double>(vectors[j][k]);
          of_differences += sources[j].weight * static_cast<double>(vectors[j][k] - x[k]);
        }
        EXPECT_NEAR(sum[k], before[k] + of_sources, 10 * this->kTolerance);
        EXPECT_NEAR(differences[k], before[k] + of_differences, 10 * this->kTolerance);
      }
      EXPECT_TRUE(this->is_fence_whole(sum));
      EXPECT_TRUE(this->is_fence_whole(differences));
    }
  }
}

TYPED_TEST(Kernels, MixEqualsTheSumInDoublePrecision) {
  using T = TypeParam;
  for (const std::size_t count : {0U, 1U, 2U, 3U, 4U, 7U}) {
    for (const std::size_t size : kSizes) {
      SCOPED_TRACE(testing::Message() << count << " sources of " << size);
      std::vector<T> x = this->random_vector(size, 1);
      const std::vector<T> before = x;
      std::vector<std::vector<T>> neighbors;
      std::vector<Source<T>> sources;
      for (std::size_t j = 0; j < count; ++j) {
        neighbors.push_back(this->random_vector(size, 100 + j));
        sources.push_back({neighbors[j].data(), 0.03 + 0.04 * static_cast<double>(j)});
      }

      mix<T>(this->inner(x), sources);

      double worst = 0.0;
      for (std::size_t k = 0; k < size; ++k) {
        double expected = before[k];
        for (const Source<T>& source : sources) {
          expected += source.weight * (static_cast<double>(source.data[k]) - before[k]);
        }
        worst = std::max(worst, std::abs(x[k] - expected));
      }
      EXPECT_LE(worst, this->kTolerance);
      EXPECT_TRUE(this->is_fence_whole(x));
    }
  }
}

TYPED_TEST(Kernels, MixLeavesConsensusExactly) {
  using T = TypeParam;
  for (const std::size_t count : {1U, 2U, 3U, 7U}) {
    for (const std::size_t size : kSizes) {
      std::vector<T> x = this->random_vector(size, 5);
      const std::vector<T> before = x;
      const std::vector<std::vector<T>> neighbors(count, before);
      std::vector<Source<T>> sources;
      for (const auto& neighbor : neighbors) sources.push_back({neighbor.data(), 1.0 / 7.0});

      mix<T>(this->inner(x), sources);

      EXPECT_EQ(std::memcmp(x.data(), before.data(), x.size() * sizeof(T)), 0)
          << count << " sources of " << size;
    }
  }
}

TYPED_TEST(Kernels, MixDoesNotChangeTheSources) {
  using T = TypeParam;
  std::vector<T> x = this->random_vector(4099, 1);
  const std::vector<T> neighbor = this->random_vector(4099, 2);
  const std::vector<T> copy = neighbor;

  mix<T>(this->inner(x), std::vector<Source<T>>(3, {neighbor.data(), 0.25}));

  EXPECT_EQ(neighbor, copy);
}

TYPED_TEST(Kernels, PairEventMovesTheSameToOneAsFromTheOther) {
  using T = TypeParam;
  for (const double alpha : {0.0, 0.25, 0.5, 0.9}) {
    for (const std::size_t size : kSizes) {
      SCOPED_TRACE(testing::Message() << "alpha " << alpha << ", size " << size);
      std::vector<T> a = this->random_vector(size, 1);
      std::vector<T> b = this->random_vector(size, 2);
      const std::vector<T> a_before = a;
      const std::vector<T> b_before = b;

      pair_event<T>(this->inner(a), this->inner(b), alpha);

      double worst = 0.0;
      for (std::size_t k = 0; k < size; ++k) {
        const double moved = alpha * (static_cast<double>(a_before[k]) - b_before[k]);
        worst = std::max(worst, std::abs(a[k] - (a_before[k] - moved)));
        worst = std::max(worst, std::abs(b[k] - (b_before[k] + moved)));
      }
      EXPECT_LE(worst, this->kTolerance);
      EXPECT_TRUE(this->is_fence_whole(a));
      EXPECT_TRUE(this->is_fence_whole(b));
    }
  }
}

TYPED_TEST(Kernels, PairEventKeepsTheSum) {
  using T = TypeParam;
  constexpr std::size_t kSize = 10007;
  std::vector<T> a = this->random_vector(kSize, 1);
  std::vector<T> b = this->random_vector(kSize, 2);
  const auto sum = [&] {
    return std::accumulate(a.begin(), a.end(), 0.0) + std::accumulate(b.begin(), b.end(), 0.0);
  };
  const double before = sum();

  for (int k = 0; k < 10; ++k) pair_event<T>(this->inner(a), this->inner(b), 0.3);

  EXPECT_NEAR(sum(), before, 10 * kSize * this->kTolerance);
}

TYPED_TEST(Kernels, PairEventWithOneHalfMakesBothTheAverage) {
  using T = TypeParam;
  std::vector<T> a = this->random_vector(1001, 1);
  std::vector<T> b = this->random_vector(1001, 2);
  const std::vector<T> a_before = a;
  const std::vector<T> b_before = b;

  pair_event<T>(this->inner(a), this->inner(b), 0.5);

  for (std::size_t k = 0; k < 1001; ++k) {
    const double average = (static_cast<double>(a_before[k]) + b_before[k]) / 2.0;
    ASSERT_NEAR(a[k], average, this->kTolerance);
    ASSERT_NEAR(b[k], average, this->kTolerance);
  }
}

TYPED_TEST(Kernels, AxpbyEqualsTheSumInDoublePrecision) {
  using T = TypeParam;
  for (const std::size_t size : kSizes) {
    const std::vector<T> x = this->random_vector(size, 1);
    std::vector<T> y = this->random_vector(size, 2);
    const std::vector<T> before = y;

    axpby<T>(-1.5, this->inner(x), 0.75, this->inner(y));

    double worst = 0.0;
    for (std::size_t k = 0; k < size; ++k) {
      worst = std::max(worst, std::abs(y[k] - (-1.5 * static_cast<double>(x[k]) +
                                               0.75 * static_cast<double>(before[k]))));
    }
    EXPECT_LE(worst, this->kTolerance) << size;
    EXPECT_TRUE(this->is_fence_whole(y));
  }
}

TYPED_TEST(Kernels, AddToBothAddsMultiplesOfOneVectorToTwo) {
  using T = TypeParam;
  for (const std::size_t size : kSizes) {
    const std::vector<T> m = this->random_vector(size, 1);
    std::vector<T> x = this->random_vector(size, 2);
    std::vector<T> y = this->random_vector(size, 3);
    const std::vector<T> x_before = x;
    const std::vector<T> y_before = y;

    add_to_both<T>(this->inner(m), -0.5, this->inner(x), 1.75, this->inner(y));

    double worst = 0.0;
    for (std::size_t k = 0; k < size; ++k) {
      worst = std::max(worst, std::abs(x[k] - (x_before[k] - 0.5 * static_cast<double>(m[k]))));
      worst = std::max(worst, std::abs(y[k] - (y_before[k] + 1.75 * static_cast<double>(m[k]))));
    }
    EXPECT_LE(worst, this->kTolerance) << size;
    EXPECT_TRUE(this->is_fence_whole(x));
    EXPECT_TRUE(this->is_fence_whole(y));
  }
}

TYPED_TEST(Kernels, SplitTakesEqualPartsOffAndLosesNothing) {
  using T = TypeParam;
  for (const std::size_t size : kSizes) {
    std::vector<T> u = this->random_vector(size, 1);
    std::vector<T> part = this->random_vector(size, 2);
    const std::vector<T> before = u;

    split<T>(this->inner(u), 0.3, 2.0, this->inner(part));

    double worst = 0.0;
    for (std::size_t k = 0; k < size; ++k) {
      worst = std::max(worst, std::abs(part[k] - 0.3 * static_cast<double>(before[k])));
      worst = std::max(worst, std::abs(u[k] + 2.0 * static_cast<double>(part[k]) - before[k]));
    }
    EXPECT_LE(worst, this->kTolerance) << size;
    EXPECT_TRUE(this->is_fence_whole(u));
    EXPECT_TRUE(this->is_fence_whole(part));
  }
}

TYPED_TEST(Kernels, DivideOutLeavesTheRestExactly) {
  using T = TypeParam;
  for (const double w : {0.5, 0.75, 1.0, 1.375, 2.0}) {
    for (const std::size_t size : kSizes) {
      std::vector<T> u = this->random_vector(size, 1);
      std::vector<T> z = this->random_vector(size, 2);
      const std::vector<T> before = u;

      divide_out<T>(this->inner(u), w, this->inner(z));

      for (std::size_t k = 0; k < size; ++k) {
        ASSERT_EQ(z[k], before[k] / static_cast<T>(w)) << w;
        ASSERT_EQ(z[k] + u[k], before[k]) << w;
      }
      EXPECT_TRUE(this->is_fence_whole(u));
      EXPECT_TRUE(this->is_fence_whole(z));
    }
  }
}

TYPED_TEST(Kernels, ScaleMultipliesEveryElement) {
  using T = TypeParam;
  for (const std::size_t size : kSizes) {
    std::vector<T> x = this->random_vector(size, 1);
    std::vector<T> expected = x;
    for (T& value : this->inner(expected)) value *= T{0.375};

    scale<T>(this->inner(x), 0.375);

    EXPECT_EQ(x, expected) << size;
  }
}

TYPED_TEST(Kernels, SquaredDistanceEqualsTheSumInDoublePrecision) {
  using T = TypeParam;
  for (const std::size_t size : kSizes) {
    const std::vector<T> a = this->random_vector(size, 1);
    const std::vector<T> b = this->random_vector(size, 2);
    long double expected = 0.0L;
    for (std::size_t k = 0; k < size; ++k) {
      const long double difference = static_cast<long double>(a[k]) - b[k];
      expected += difference * difference;
    }

    const double distance = squared_distance<T>(this->inner(a), this->inner(b));

    EXPECT_NEAR(distance, static_cast<double>(expected), 1e-12 * (1.0 + distance)) << size;
  }
}

}  // namespace
}  // namespace gossip::kernels
