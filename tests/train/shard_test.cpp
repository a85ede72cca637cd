// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <limits>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/train/label_skew.h>
#include <libgossip/train/shard.h>

namespace gossip::train {
namespace {

using testing::HasSubstr;

std::vector<std::int64_t> epoch_of(Shard& shard, std::int64_t epoch) {
  std::vector<std::int64_t> all;
  for (std::int64_t step = 0; step < shard.steps_per_epoch(); ++step) {
    const auto batch = shard.indices(epoch, step);
    all.insert(all.end(), batch.begin(), batch.end());
  }
  return all;
}

std::string error_of(const ShardOptions& options) {
  try {
    Shard shard(options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// (samples, batch size, ranks): 7 ranks, and sizes that do not divide, among them.
class ShardSizes : public testing::TestWithParam<std::tuple<std::int64_t, std::int64_t, int>> {};

TEST_P(ShardSizes, EveryRankHasTheSameStepsAndNoSampleIsSeenTwice) {
  const auto [samples, batch, size] = GetParam();

  std::set<std::int64_t> steps;
  std::multiset<std::int64_t> seen;
  for (Rank rank = 0; rank < size; ++rank) {
    Shard shard(
        {.num_samples = samples, .batch_size = batch, .rank = rank, .size = size, .seed = 5});
    steps.insert(shard.steps_per_epoch());
    const auto mine = epoch_of(shard, 3);
    EXPECT_EQ(static_cast<std::int64_t>(mine.size()), shard.samples_per_epoch());
    seen.insert(mine.begin(), mine.end());
  }

  EXPECT_EQ(steps.size(), 1U);
  EXPECT_EQ(std::set<std::int64_t>(seen.begin(), seen.end()).size(), seen.size());
  EXPECT_GE(*seen.begin(), 0);
  EXPECT_LT(*seen.rbegin(), samples);
  EXPECT_LT(samples - static_cast<std::int64_t>(seen.size()), batch * size);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ShardSizes,
                         testing::Values(std::tuple{60000, 64, 4}, std::tuple{60000, 64, 7},
                                         std::tuple{1000, 13, 7}, std::tuple{97, 1, 5},
                                         std::tuple{7, 1, 7}, std::tuple{13, 1, 7},
                                         std::tuple{64, 64, 1}, std::tuple{1, 1, 1},
                                         std::tuple{100, 33, 3}));

TEST(Shard, AnEpochIsAPureFunctionOfSeedAndEpoch) {
  const ShardOptions options = {
      .num_samples = 500, .batch_size = 8, .rank = 1, .size = 3, .seed = 9};
  Shard in_order(options);
  Shard resumed(options);

  epoch_of(in_order, 1);
  epoch_of(in_order, 2);

  EXPECT_EQ(epoch_of(in_order, 7), epoch_of(resumed, 7));
  EXPECT_EQ(epoch_of(in_order, 1), epoch_of(resumed, 1));
}

TEST(Shard, EpochsAndSeedsDiffer) {
  Shard one({.num_samples = 500, .batch_size = 50, .rank = 0, .size = 1, .seed = 1});
  Shard two({.num_samples = 500, .batch_size = 50, .rank = 0, .size = 1, .seed = 2});

  EXPECT_NE(epoch_of(one, 1), epoch_of(one, 2));
  EXPECT_NE(epoch_of(one, 1), epoch_of(two, 1));
}

TEST(Shard, TheSequenceIsTheSameOnEveryMachine) {
  Shard shard({.num_samples = 8, .batch_size = 8, .rank = 0, .size = 1, .seed = 1});

  EXPECT_THAT(epoch_of(shard, 1), testing::ElementsAre(4, 5, 2, 7, 1, 3, 0, 6));
}

TEST(Shard, EveryPlaceOfThePermutationGetsEverySampleEquallyOften) {
  constexpr std::int64_t kSamples = 6;
  constexpr int kEpochs = 60000;
  Shard shard({.num_samples = kSamples, .batch_size = kSamples, .rank = 0, .size = 1, .seed = 3});
  std::vector<int> counts(kSamples * kSamples);

  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const auto order = shard.indices(epoch, 0);
    for (std::size_t place = 0; place < order.size(); ++place) {
      ++counts[place * kSamples + static_cast<std::size_t>(order[place])];
    }
  }

  // Expected 10,000 each with a standard deviation of 91.
  EXPECT_GT(*std::min_element(counts.begin(), counts.end()), 9500);
  EXPECT_LT(*std::max_element(counts.begin(), counts.end()), 10500);
}

TEST(Shard, DropsOtherSamplesInEveryEpoch) {
  Shard shard({.num_samples = 10, .batch_size = 4, .rank = 0, .size = 2, .seed = 3});
  Shard other({.num_samples = 10, .batch_size = 4, .rank = 1, .size = 2, .seed = 3});
  std::set<std::int64_t> seen;

  for (int epoch = 0; epoch < 20; ++epoch) {
    for (Shard* each : {&shard, &other}) {
      const auto batch = each->indices(epoch, 0);
      seen.insert(batch.begin(), batch.end());
    }
  }

  EXPECT_EQ(seen.size(), 10U);
}

TEST(Shard, StepsOfOneEpochShareTheirMemory) {
  Shard shard({.num_samples = 100, .batch_size = 10, .rank = 0, .size = 1, .seed = 3});

  const auto first = shard.indices(1, 0);
  const auto second = shard.indices(1, 1);
  const auto next_epoch = shard.indices(2, 0);

  EXPECT_EQ(first.data() + 10, second.data());
  EXPECT_EQ(first.data(), next_epoch.data());
}

TEST(Shard, NamesBothNumbersWhenTheBatchExceedsTheShard) {
  const std::string error =
      error_of({.num_samples = 100, .batch_size = 64, .rank = 0, .size = 2, .seed = 0});

  EXPECT_THAT(error, HasSubstr("batch size 64"));
  EXPECT_THAT(error, HasSubstr("100 samples among 2 ranks are 50 each"));
}

TEST(Shard, RefusesOptionsOutOfRange) {
  EXPECT_THAT(error_of({.num_samples = 10, .batch_size = 0}),
              HasSubstr("batch size must be at least 1, not 0"));
  EXPECT_THAT(error_of({.num_samples = 10, .batch_size = -3}), HasSubstr("-3"));
  EXPECT_THAT(error_of({.num_samples = 0, .batch_size = 1}), HasSubstr("0 samples"));
  EXPECT_THAT(error_of({.num_samples = 10, .batch_size = 1, .size = 0}),
              HasSubstr("at least 1, not 0"));
  EXPECT_THAT(error_of({.num_samples = 10, .batch_size = 1, .rank = 2, .size = 2}),
              HasSubstr("no rank 2 among 2"));
}

TEST(Shard, RefusesAStepBeyondTheEpoch) {
  Shard shard({.num_samples = 100, .batch_size = 10, .rank = 0, .size = 1, .seed = 3});

  EXPECT_THROW((void)shard.indices(1, 10), Error);
  EXPECT_THROW((void)shard.indices(1, -1), Error);
}

TEST(ShardOfOwnSamples, ShufflesThemInEveryEpoch) {
  Shard shard({.num_samples = 20, .batch_size = 2, .rank = 1, .size = 4, .own = {3, 1, 4, 15, 9}});
  EXPECT_EQ(shard.steps_per_epoch(), 2);
  std::set<std::int64_t> seen;
  for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
    const auto samples = epoch_of(shard, epoch);
    EXPECT_EQ(std::set<std::int64_t>(samples.begin(), samples.end()).size(), 4U);
    seen.insert(samples.begin(), samples.end());
  }
  EXPECT_THAT(seen, testing::ElementsAre(1, 3, 4, 9, 15));
}

/// How many classes hold nine of ten samples of a part, the mean over the parts.
double classes_of_parts(double concentration) {
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < 10'000; ++i) labels.push_back(i % 10);
  const auto parts = label_skewed_parts(labels, 8, concentration, 3);
  std::set<std::int64_t> seen;
  double total = 0.0;
  for (const auto& part : parts) {
    EXPECT_EQ(part.size(), 1250U);
    seen.insert(part.begin(), part.end());
    std::vector<int> counts(10, 0);
    for (const std::int64_t sample : part) ++counts[static_cast<std::size_t>(sample % 10)];
    std::ranges::sort(counts, std::greater<>());
    int covered = 0;
    for (const int count : counts) {
      if (covered >= 1125) break;
      covered += count;
      total += 1.0 / 8;
    }
  }
  EXPECT_EQ(seen.size(), 10'000U) << "a sample is in two parts";
  return total;
}

TEST(LabelSkewedParts, HaveFewClassesWithASmallConcentration) {
  EXPECT_LT(classes_of_parts(0.1), 4.0);
  EXPECT_LT(classes_of_parts(1e-300), 4.0);
  EXPECT_GT(classes_of_parts(100.0), 8.5);
}

TEST(LabelSkewedParts, RefuseWhatMakesNoSense) {
  const std::vector<std::int64_t> labels{0, 1, 2};
  EXPECT_THROW(static_cast<void>(label_skewed_parts(labels, 2, 0.0, 1)), Error);
  EXPECT_THROW(static_cast<void>(label_skewed_parts(labels, 4, 0.1, 1)), Error);
  EXPECT_THROW(static_cast<void>(label_skewed_parts(labels, 2, 5e-324, 1)), Error);
  for (const std::int64_t label : {-1L, -2L, std::numeric_limits<std::int64_t>::min()}) {
    EXPECT_THROW(static_cast<void>(label_skewed_parts(std::vector{label, label}, 2, 0.1, 1)),
                 Error);
  }
}

TEST(LabelSkewedParts, FollowTheOrderOfTheLabelsAndNotTheirValues) {
  std::vector<std::int64_t> labels;
  std::vector<std::int64_t> large;
  for (std::int64_t i = 0; i < 60; ++i) {
    labels.push_back(i % 3);
    large.push_back(i % 3 << 40);
  }
  EXPECT_EQ(label_skewed_parts(large, 4, 0.1, 3), label_skewed_parts(labels, 4, 0.1, 3));
}

}  // namespace
}  // namespace gossip::train
