// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <string>
#include <tuple>
#include <vector>

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

std::vector<torch::Tensor> all_of(const torch::nn::Module& module) {
  std::vector<torch::Tensor> tensors = module.parameters();
  for (const torch::Tensor& buffer : module.buffers()) tensors.push_back(buffer);
  return test::copies_of(tensors);
}

/// What a module held when it was tested.
TestSet looking_at(const torch::nn::Module& module, std::vector<std::vector<torch::Tensor>>& seen) {
  return {.num_samples = 10, .num_correct = [&](std::int64_t, std::int64_t count) {
            seen.push_back(all_of(module));
            return count;
          }};
}

class SnapshotsTest : public test::OptimTest {
 protected:
  /// Some optimizers tell none.
  static std::optional<double> rate_of(std::int64_t epoch) {
    return epoch == 1 ? std::optional(0.25) : std::nullopt;
  }

  /// Two models, after one step and after two; `own` and `mean` are what they were.
  void take(Snapshots& snapshots) {
    for (std::int64_t epoch = 1; epoch <= 2; ++epoch) {
      run_.step();
      snapshots.take(*run_.optimizer, {.epoch = epoch,
                                       .totals = {.step = 10 * epoch},
                                       .lr = rate_of(epoch),
                                       .images_per_second = 7.0,
                                       .extra = {{"skipped", 3 * epoch}}});
      own_.push_back(all_of(*run_.model));
      run_.optimizer->with_mean_model([&] { mean_.push_back(all_of(*run_.model)); });
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
      EXPECT_EQ(record.lr, rate_of(epoch));
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

TEST_F(SnapshotsTest, OfAnEarlierVersionAreRefused) {
  Snapshots before(*run_.model);
  take(before);
  model::StateDict state = before.part().save();
  std::erase_if(state.values, [](const auto& value) { return value.name == "of_whole_modules"; });
  Snapshots after(*run_.model);
  model::StateReader saved(state, "The snapshots");
  expect_throw<Error>([&] { after.part().plan(saved); },
                      {"by an earlier libgossip", "without snapshots"});
}

/// Of many types, some of which are another one or part of it; all but the parameters that train
/// differ between the ranks.
struct Various : torch::nn::Module {
  Various()
      : first(register_module("first", torch::nn::Linear(4, 3))),
        single(register_buffer("single", torch::zeros({3}, torch::kFloat32))),
        half(register_buffer("half", torch::zeros({2}, torch::kFloat16))),
        brain(register_buffer("brain", torch::zeros({2}, torch::kBFloat16))),
        wide(register_buffer("wide", torch::zeros({}, torch::kFloat64).expand({4}))),
        count(register_buffer("count", torch::zeros({2}, torch::kInt64))),
        frozen(register_parameter("frozen", torch::zeros({2}, torch::kBFloat16), false)) {
    register_module("again", first);
    register_buffer("alias", half);
  }
  torch::Tensor forward(const torch::Tensor& x) { return first(x); }

  void mark(Rank rank) {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& tensor : std::vector{single, half, brain, count, frozen}) {
      tensor.fill_(2 * rank + 1);
    }
    wide.mutable_data_ptr<double>()[0] = 2 * rank + 1;
  }

  torch::nn::Linear first;
  torch::Tensor single, half, brain, wide, count, frozen;
};

/// A ring in which rank 0 has one more neighbor to send to, so that weights of push-sum differ.
topology::Schedule lopsided_ring(int size) {
  std::vector<topology::Arc> arcs;
  for (Rank rank = 0; size > 1 && rank < size; ++rank) arcs.push_back({rank, (rank + 1) % size});
  if (size > 2) arcs.push_back({0, 2});
  return topology::Graph::directed(size, arcs, "lopsided ring");
}

TEST_F(SnapshotsTest, KeepAllThatAModuleHas) {
  for (const std::string method : {"gossip-sgd", "push-sum"}) {
    const auto model = test::make<Various>(1);
    const auto optimizer =
        optim::make_optimizer(method, world(), *model, test::momentum_sgd(*model),
                              method == "push-sum" ? lopsided_ring(size()) : topology::ring(size()),
                              test::method_options());
    for (int step = 0; step < 3; ++step) {
      optimizer->zero_grad();
      test::loss(*model, rank(), step).backward();
      optimizer->step();
    }
    model->mark(rank());
    Snapshots snapshots(*model);
    snapshots.take(*optimizer, {});
    const auto own = all_of(*model);
    std::vector<torch::Tensor> mean;
    optimizer->with_mean_model([&] { mean = all_of(*model); });
    const double distance = optimizer->consensus_distance();

    const auto scratch = test::make<Various>(7);
    std::vector<std::vector<torch::Tensor>> seen;
    const auto records = snapshots.evaluated(world(), *scratch, looking_at(*scratch, seen));
    EXPECT_EQ(seen.size(), 2U);
    if (seen.size() != 2U) continue;
    test::expect_equal(seen[0], own);
    expect_near(seen[1], mean);
    EXPECT_NEAR(records.at(0).consensus_distance.value_or(-1.0), distance, 1e-9);
    EXPECT_EQ(distance > 0.0, size() > 1);
  }
}

TEST_F(SnapshotsTest, AreRefusedByAModuleOfAnotherKind) {
  Snapshots snapshots(*run_.model);
  take(snapshots);
  torch::nn::Linear fewer(4, 6);
  const auto other = test::make<Normed>(7);
  other->last->bias.set_data(torch::zeros({1}, torch::kFloat64));
  expect_throw<Error>([&] { std::ignore = snapshots.evaluated(world(), *fewer, even_numbers()); },
                      {"9 parameters and buffers", "has 2: give it one of the same kind"});
  expect_throw<Error>([&] { std::ignore = snapshots.evaluated(world(), *other, even_numbers()); },
                      {"'last.bias' is Double [3]", "is Double [1]"});
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
