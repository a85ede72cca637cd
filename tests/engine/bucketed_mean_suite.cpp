// SPDX-License-Identifier: Apache-2.0
// Means in pieces on every kind of group: see transport/on_ranks.h.
#include <algorithm>
#include <chrono>
#include <numeric>

#include <libgossip/base/random.h>
#include <libgossip/engine/rounds/bucketed_mean.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::on_ranks;
using test::start_value;
using transport::Group;

constexpr std::chrono::seconds kLong{30};

/// A vector of each type and its buckets of 16 bytes.
struct Cut {
  explicit Cut(Rank rank) { refill(rank); }

  void refill(Rank rank) {
    for (std::size_t k = 0; k < doubles.size(); ++k) doubles[k] = start_value(rank, 0, k);
    for (std::size_t k = 0; k < floats.size(); ++k)
      floats[k] = static_cast<float>(start_value(rank, 1, k));
  }

  void expect_mean(int size) const {
    for (std::size_t k = 0; k < doubles.size(); ++k)
      EXPECT_NEAR(doubles[k], mean(size, 0, k), 1e-14);
    for (std::size_t k = 0; k < floats.size(); ++k)
      EXPECT_NEAR(static_cast<double>(floats[k]), mean(size, 1, k), 1e-6);
  }

  static double mean(int size, std::size_t vector, std::size_t k) {
    double sum = 0.0;
    for (Rank rank = 0; rank < size; ++rank) sum += start_value(rank, vector, k);
    return sum / size;
  }

  std::vector<double> doubles = std::vector<double>(9);
  std::vector<float> floats = std::vector<float>(6);
  std::vector<VectorView> buckets =
      cut_into_buckets({std::span<double>(doubles), std::span<float>(floats)}, 16);
};

class BucketedMeanTest : public testing::TestWithParam<int> {};

TEST_P(BucketedMeanTest, BucketsMayBecomeReadyInAnyOrderOnEachRank) {
  on_ranks(GetParam(), [](Group& group) {
    Cut own(group.rank());
    BucketedMean mean(group, own.buckets, kLong);
    std::vector<std::size_t> order(own.buckets.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    SplitMix64 random(static_cast<std::uint64_t>(group.rank()) + 3);

    for (int repetition = 0; repetition < 5; ++repetition) {
      own.refill(group.rank());
      std::shuffle(order.begin(), order.end(), random);
      // Some ranks leave the last to finish().
      const std::size_t count = order.size() - static_cast<std::size_t>(group.rank() % 3);
      EXPECT_FALSE(mean.is_running());
      for (std::size_t i = 0; i < count; ++i) mean.ready(order[i]);
      EXPECT_TRUE(mean.is_running());
      mean.finish();

      EXPECT_FALSE(mean.is_running());
      own.expect_mean(group.size());
    }
  });
}

TEST_P(BucketedMeanTest, FinishStartsWhatNobodyStarted) {
  on_ranks(GetParam(), [](Group& group) {
    Cut own(group.rank());
    BucketedMean mean(group, own.buckets, kLong);
    mean.finish();
    own.expect_mean(group.size());
  });
}

TEST_P(BucketedMeanTest, CountsNominalBytes) {
  on_ranks(GetParam(), [](Group& group) {
    Cut own(group.rank());
    BucketedMean mean(group, own.buckets, kLong);
    mean.finish();
    mean.finish();

    const auto ranks = static_cast<std::uint64_t>(group.size());
    const std::uint64_t nominal = 2 * (2 * (ranks - 1) * (9 * 8 + 6 * 4) / ranks);
    EXPECT_EQ(mean.counters().gossip_rounds, 2);
    EXPECT_EQ(mean.counters().bytes_sent, nominal);
    EXPECT_EQ(mean.counters().bytes_received, nominal);
  });
}

TEST_P(BucketedMeanTest, MayEndWhileItRuns) {
  on_ranks(GetParam(), [](Group& group) {
    Cut own(group.rank());
    const Cut before(group.rank());
    {
      BucketedMean mean(group, own.buckets, kLong);
      for (std::size_t bucket = 0; group.rank() % 2 == 0 && bucket < 2; ++bucket) {
        mean.ready(bucket);
      }
    }
    EXPECT_EQ(own.doubles, before.doubles);
    EXPECT_EQ(own.floats, before.floats);
    group.barrier();
    BucketedMean mean(group, own.buckets, kLong);
    mean.finish();
    own.expect_mean(group.size());
  });
}

TEST_P(BucketedMeanTest, LeavesWhatIsNotReadyAlone) {
  on_ranks(GetParam(), [](Group& group) {
    Cut own(group.rank());
    BucketedMean mean(group, own.buckets, kLong);
    const double last = own.doubles.back();
    mean.ready(0);
    group.barrier();
    EXPECT_EQ(own.doubles.back(), last);
    own.doubles.back() = start_value(group.rank(), 0, 8);  // still ours to write
    mean.finish();
    own.expect_mean(group.size());
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, BucketedMeanTest, testing::ValuesIn(test::engine_rank_counts()));

TEST(CutIntoBuckets, CoversEveryElementOnce) {
  std::vector<double> doubles(5);
  std::vector<float> floats(3);
  const std::vector<VectorView> vectors{std::span<double>(doubles), std::span<float>(floats)};

  const auto sizes = [&](std::size_t bytes) {
    std::vector<std::size_t> result;
    for (const VectorView& bucket : cut_into_buckets(vectors, bytes)) result.push_back(bucket.size);
    return result;
  };

  EXPECT_THAT(sizes(16), testing::ElementsAre(2, 2, 1, 3));
  EXPECT_THAT(sizes(1), testing::ElementsAre(1, 1, 1, 1, 1, 1, 1, 1)) << "never less than one";
  EXPECT_THAT(sizes(~std::size_t{0}), testing::ElementsAre(5, 3)) << "never two types in one";
  EXPECT_EQ(cut_into_buckets(vectors, 16)[1].data, &doubles[2]);
  EXPECT_EQ(cut_into_buckets(vectors, 16)[3].data, &floats[0]);
  EXPECT_THAT(cut_into_buckets({}, 16), testing::IsEmpty());
}

}  // namespace
}  // namespace gossip::engine
