// SPDX-License-Identifier: Apache-2.0
#include <libgossip/train/evaluation.h>
#include <libgossip/train/snapshots.h>

#include "checkpoint/checkpointer_test_support.h"

namespace gossip::train {
namespace {

using test::expect_near;
using test::expect_throw;
using test::Normed;
using test::Trainee;

/// Ten samples, of which those with even numbers are classified right.
TestSet even_numbers(std::vector<std::int64_t>* asked = nullptr) {
  return {.num_samples = 10, .num_correct = [asked](std::int64_t first, std::int64_t count) {
            if (asked != nullptr) asked->push_back(count);
            return (first + count + 1) / 2 - (first + 1) / 2;
          }};
}

class Evaluation : public test::OptimTest {};

TEST_F(Evaluation, OfACommonModelIsSharedByTheRanks) {
  std::vector<std::int64_t> asked;

  EXPECT_EQ(accuracy_of(even_numbers(&asked)), 0.5);
  EXPECT_NEAR(accuracy_of_common_model(world(), even_numbers(&asked)), 0.5, 1e-12);
  EXPECT_EQ(asked.front(), 10);
  const double part = static_cast<double>(asked.back());
  EXPECT_NEAR(transport::mean_of(world(), part) * size(), 10.0, 1e-12);
}

TEST_F(Evaluation, NeedsSamples) {
  expect_throw<Error>([] { static_cast<void>(accuracy_of({})); }, {"0 samples"});
}

TEST_F(Evaluation, FillsInARecord) {
  const Trainee run(world(), "gossip-sgd", test::momentum_sgd, 1);
  run.step();
  EpochRecord record;

  evaluate(world(), *run.optimizer, even_numbers(), record);

  EXPECT_EQ(record.test_accuracy_local, 0.5);
  EXPECT_NEAR(record.test_accuracy_mean_model.value_or(0.0), 0.5, 1e-12);
  EXPECT_EQ(record.consensus_distance, run.optimizer->consensus_distance());
}

/// What a module held when it was tested.
TestSet looking_at(const Normed& module, std::vector<std::vector<torch::Tensor>>& seen) {
  return {.num_samples = 10, .num_correct = [&](std::int64_t, std::int64_t count) {
            seen.push_back(test::copies_of(module.parameters()));
            return count;
          }};
}

class SnapshotsTest : public test::OptimTest {
 protected:
  /// Two models, after one step and after two; `own` and `mean` are what they were.
  void take(Snapshots& snapshots) {
    for (std::int64_t epoch = 1; epoch <= 2; ++epoch) {
      run_.step();
      snapshots.take(*run_.optimizer, {.epoch = epoch,
                                       .totals = {.step = 10 * epoch},
                                       .images_per_second = 7.0,
                                       .extra = {{"skipped", 3 * epoch}}});
      own_.push_back(test::copies_of(run_.model->parameters()));
      run_.optimizer->with_mean_model(
          [&] { mean_.push_back(test::copies_of(run_.model->parameters())); });
    }
    run_.step();
  }

  /// Evaluates in another module, and checks what that held.
  [[nodiscard]] std::vector<EpochRecord> evaluated(const Snapshots& snapshots) {
    const auto scratch = test::make<Normed>(7);
    std::vector<std::vector<torch::Tensor>> seen;
    std::vector<EpochRecord> records =
        snapshots.evaluated(world(), *scratch, looking_at(*scratch, seen));
    EXPECT_EQ(seen.size(), 4U);
    for (std::size_t i = 0; i < 2 && seen.size() == 4U; ++i) {
      test::expect_equal(seen[2 * i], own_[i]);
      expect_near(seen[2 * i + 1], mean_[i]);
    }
    return records;
  }

  static void expect_records(const std::vector<EpochRecord>& records) {
    ASSERT_EQ(records.size(), 2U);
    for (std::int64_t epoch = 1; epoch <= 2; ++epoch) {
      const EpochRecord& record = records[static_cast<std::size_t>(epoch - 1)];
      EXPECT_EQ(record.epoch, epoch);
      EXPECT_EQ(record.totals.step, 10 * epoch);
      EXPECT_EQ(record.images_per_second, 7.0);
      EXPECT_EQ(record.test_accuracy_local, 1.0);
      EXPECT_NEAR(record.test_accuracy_mean_model.value_or(0.0), 1.0, 1e-12);
      ASSERT_EQ(record.extra.size(), 1U);
      EXPECT_EQ(record.extra.front().name, "skipped");
      EXPECT_EQ(std::get<std::int64_t>(record.extra.front().value), 3 * epoch);
    }
  }

  Trainee run_{world(), "gossip-sgd", test::momentum_sgd, 1};
  std::vector<std::vector<torch::Tensor>> own_;
  std::vector<std::vector<torch::Tensor>> mean_;
};

TEST_F(SnapshotsTest, AreEvaluatedAsTheModelsWereThen) {
  Snapshots snapshots(*run_.model);
  take(snapshots);
  EXPECT_EQ(snapshots.ended(), 2);

  expect_records(evaluated(snapshots));
}

TEST_F(SnapshotsTest, MeasureTheDistanceOfTheRanks) {
  Snapshots snapshots(*run_.model);
  take(snapshots);

  const std::vector<EpochRecord> records = evaluated(snapshots);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[1].consensus_distance.value_or(-1.0) > 0.0, size() > 1);
}

TEST_F(SnapshotsTest, GoThroughACheckpoint) {
  Snapshots before(*run_.model);
  before.skip(3);
  take(before);
  const model::StateDict state = before.part().save();

  Snapshots after(*run_.model);
  model::StateReader saved(state, "The snapshots");
  after.part().plan(saved)();
  saved.check_all_read();

  EXPECT_EQ(after.ended(), 5);
  expect_records(evaluated(after));
}

TEST_F(SnapshotsTest, NeedParametersOfOneType) {
  torch::nn::Linear mixed(2, 2);
  mixed->bias.set_data(mixed->bias.to(torch::kFloat64));

  expect_throw<Error>([&] { static_cast<void>(Snapshots(*mixed)); },
                      {"Double [2]", "all float or all double"});
  expect_throw<Error>([] { static_cast<void>(Snapshots(torch::nn::TanhImpl())); },
                      {"without parameters"});
}

}  // namespace
}  // namespace gossip::train
