// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <libgossip/train/evaluation.h>
#include <libgossip/train/job.h>
#include <libgossip/train/run_record.h>
#include <libgossip/train/snapshots.h>

#include "checkpoint/checkpointer_test_support.h"

namespace gossip::train {
namespace {

using Json = nlohmann::json;
using test::expect_throw;
using test::read_file;
using test::SharedFolder;
using test::Trainee;

std::vector<Json> lines_of(const std::filesystem::path& path) {
  std::vector<Json> lines;
  std::istringstream text(read_file(path));
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
  return lines;
}

/// One text for each line: its event, and where it has one its step.
std::vector<std::string> events_of(const std::vector<Json>& lines) {
  std::vector<std::string> events;
  for (const Json& line : lines) {
    std::string event = line.at("event");
    if (line.contains("step")) event += " " + line.at("step").dump();
    events.push_back(event);
  }
  return events;
}

class RunRecordTest : public test::OptimTest {
 protected:
  [[nodiscard]] RunRecordOptions options() const {
    return {.folder = folder_.path(),
            .config = "seed = 1\n",
            .epochs = 2,
            .steps_per_epoch = 3,
            .batch_size = 8,
            .log_every = 2,
            .settings = {{"local_optimizer", "sgd"}},
            .sampling = {{"seed", std::int64_t{1}}, {"dirichlet", 0.5}}};
  }

  /// Makes a step whose loss is `loss`.
  static void step(RunRecord& record, const Trainee& run, std::int64_t epoch, double loss) {
    run.step();
    record.step(*run.optimizer, epoch, loss);
  }

  /// Two epochs of three steps with the losses 1, 2, 3 and 4, 5, 6.
  void train(RunRecord& record, bool is_evaluated) const {
    record.start(*trainee_.optimizer, "ring");
    for (std::int64_t epoch = 1; epoch <= 2; ++epoch) {
      for (int i = 1; i <= 3; ++i)
        step(record, trainee_, epoch, 3.0 * static_cast<double>(epoch - 1) + i);
      EpochRecord ended = record.end_epoch(*trainee_.optimizer, epoch);
      if (is_evaluated) {
        ended.test_accuracy_local = 0.5 + 0.1 * rank();
        ended.test_accuracy_mean_model = 0.9;
      }
      record.write_epoch(ended);
    }
    record.finish(*trainee_.optimizer);
  }

  [[nodiscard]] std::filesystem::path metrics() const {
    return folder_.path() / ("metrics.rank" + std::to_string(rank()) + ".jsonl");
  }
  [[nodiscard]] Json result() const {
    world().barrier();  // rank 0 has written it
    return Json::parse(read_file(folder_.path() / "result.json"));
  }

  SharedFolder folder_{world()};
  Trainee trainee_{world(), "gossip-sgd", test::momentum_sgd, 1};
};

TEST_F(RunRecordTest, WritesStepsAndEpochsOfEachRank) {
  RunRecord record(world(), options());
  train(record, true);

  const std::vector<Json> lines = lines_of(metrics());
  EXPECT_THAT(events_of(lines),
              testing::ElementsAre("start", "step 2", "epoch 3", "step 4", "step 6", "epoch 6"));
  if (lines.size() != 6U) return;
  EXPECT_EQ(lines[0]["local_optimizer"], "sgd");
  EXPECT_EQ(lines[0]["bytes_nominal"], false);
  EXPECT_EQ(lines[1]["loss"], 1.5);
  EXPECT_EQ(lines[2]["loss"], 2.0);
  EXPECT_EQ(lines[2]["samples"], 3 * 8);
  EXPECT_EQ(lines[2]["status"], "running");
  EXPECT_EQ(lines[3]["loss"], 3.5);  // of the steps 3 and 4
  EXPECT_EQ(lines[5]["status"], "complete");
  EXPECT_EQ(lines[5]["job_samples"], 6 * 8 * size());
}

TEST_F(RunRecordTest, EndsWithMeansOverTheRanks) {
  RunRecord record(world(), options());
  train(record, true);

  const Json json = result();
  EXPECT_EQ(json["status"], "complete");
  EXPECT_EQ(json["epoch"], 2);
  EXPECT_EQ(json["step"], 6);
  EXPECT_EQ(json["loss"], 5.0);
  EXPECT_EQ(json["topology"], "ring");
  EXPECT_EQ(json["test_accuracy_mean_model"], 0.9);
  EXPECT_NEAR(json["test_accuracy_local"].get<double>(), 0.5 + 0.05 * last(), 1e-12);
  EXPECT_EQ(read_file(folder_.path() / "config.toml"), "seed = 1\n");
}

TEST_F(RunRecordTest, NeedsNoEvaluation) {
  RunRecord record(world(), options());
  train(record, false);

  EXPECT_FALSE(result().contains("test_accuracy_local"));
}

TEST_F(RunRecordTest, GoesOnWithTheSumsOfACheckpoint) {
  RunRecord before(world(), options());
  before.start(*trainee_.optimizer, "ring");
  step(before, trainee_, 1, 1.0);
  model::StateDict state = before.part(*trainee_.optimizer).save();
  const auto seconds = std::ranges::find(state.values, "epoch_seconds", &NamedValue::name);
  ASSERT_NE(seconds, state.values.end());
  seconds->value = 3600.0;

  RunRecord after(world(), options());
  model::StateReader saved(state, "The record");
  after.part(*trainee_.optimizer).plan(saved)();
  saved.check_all_read();
  after.start(*trainee_.optimizer, "ring",
              checkpoint::Resumed{.set = "step-1", .is_exact = true, .ranks = size()});
  step(after, trainee_, 1, 4.0);

  const EpochRecord epoch = after.end_epoch(*trainee_.optimizer, 1);
  EXPECT_EQ(epoch.loss, 2.5);
  EXPECT_LT(epoch.images_per_second.value(), 1.0) << "the hour before counts";
}

TEST_F(RunRecordTest, RefusesACheckpointWithOtherSamples) {
  RunRecord before(world(), options());
  before.start(*trainee_.optimizer, "ring");
  const model::StateDict state = before.part(*trainee_.optimizer).save();
  RunRecordOptions other = options();
  other.sampling.front().value = std::int64_t{2};
  RunRecord after(world(), other);
  model::StateReader saved(state, "The record");

  expect_throw<Error>([&] { after.part(*trainee_.optimizer).plan(saved); },
                      {"The record", "with seed 1, but it is 2 now"});
}

TEST_F(RunRecordTest, GoesOnBehindTheLinesOfARunThatItResumes) {
  RunRecordOptions options = this->options();
  options.log_every = 100;
  const std::filesystem::path sets = folder_.path() / "checkpoints";
  {
    RunRecord record(world(), options);
    record.start(*trainee_.optimizer, "ring");
    checkpoint::Checkpointer checkpoints(world(), *trainee_.model, *trainee_.optimizer,
                                         {.folder = sets, .every_steps = 2});
    checkpoints.add("record", record.part(*trainee_.optimizer));
    checkpoints.start();
    for (int i = 0; i < 12; ++i) {
      step(record, trainee_, 1, 1.0);
      EXPECT_FALSE(checkpoints.after_step());
    }
    EXPECT_FALSE(checkpoints.finish());
  }
  const Trainee again(world(), "gossip-sgd", test::momentum_sgd, 2);
  RunRecord record(world(), options);
  checkpoint::Checkpointer checkpoints(world(), *again.model, *again.optimizer, {.folder = sets});
  checkpoints.add("record", record.part(*again.optimizer));
  const auto from = checkpoints.resume();
  record.start(*again.optimizer, "ring", from);
  EXPECT_TRUE(from.has_value());
  if (from) record.resumed(*from, checkpoints, *again.optimizer);
  const std::int64_t steps = again.optimizer->steps();
  EXPECT_GT(steps, 0);

  const std::vector<std::string> events = events_of(lines_of(metrics()));
  EXPECT_THAT(events, testing::ElementsAre("start", "resume " + std::to_string(steps)));
}

TEST_F(RunRecordTest, NamesRankAndStepOfALossThatIsNoNumber) {
  RunRecord record(world(), options());
  record.start(*trainee_.optimizer, "ring");
  step(record, trainee_, 1, 1.0);
  trainee_.step();

  expect_throw<Error>(
      [&] { record.step(*trainee_.optimizer, 1, std::numeric_limits<double>::quiet_NaN()); },
      {"nan", "rank " + std::to_string(rank()), "step 2"});
  EXPECT_EQ(lines_of(metrics()).back().at("status"), "diverged");
}

/// As users write them: the options tell no learning rate.
struct PlainOptions : torch::optim::OptimizerCloneableOptions<PlainOptions> {};

class PlainDescent final : public torch::optim::Optimizer {
 public:
  explicit PlainDescent(const std::vector<torch::Tensor>& parameters)
      : Optimizer({torch::optim::OptimizerParamGroup(parameters)},
                  std::make_unique<PlainOptions>()) {}
  torch::Tensor step(LossClosure /*closure*/ = nullptr) override { return {}; }
};

std::unique_ptr<torch::optim::Optimizer> plain_descent(torch::nn::Module& model) {
  return std::make_unique<PlainDescent>(model.parameters());
}

TEST_F(RunRecordTest, LeavesOutALearningRateThatNobodyTells) {
  for (const bool has_groups : {true, false}) {
    const Trainee run(world(), "gossip-sgd", has_groups ? plain_descent : test::momentum_sgd, 1);
    if (!has_groups) run.optimizer->param_groups().clear();
    RunRecord record(world(), options());
    record.start(*run.optimizer, "ring");
    for (int i = 0; i < 2; ++i) step(record, run, 1, 1.0);
    record.write_epoch(record.end_epoch(*run.optimizer, 1));
    record.finish(*run.optimizer);
    run.step();
    expect_throw<Error>(
        [&] { record.step(*run.optimizer, 1, std::numeric_limits<double>::quiet_NaN()); },
        {"step 3: training diverged. Try a lower learning rate"});

    const std::vector<Json> lines = lines_of(metrics());
    EXPECT_THAT(events_of(lines), testing::ElementsAre("start", "step 2", "epoch 2", "epoch 3"));
    for (const Json& line : lines) EXPECT_FALSE(line.contains("lr")) << line;
    EXPECT_FALSE(result().contains("lr"));
  }
}

TEST_F(RunRecordTest, RanksThatAreInOtherCallsAreToldTheUsersOwn) {
  if (size() == 1) return;
  RunRecord record(world(), options());
  EpochRecord epoch;
  const TestSet test{.num_samples = 1,
                     .num_correct = [](std::int64_t, std::int64_t count) { return count; }};
  Snapshots snapshots(*trainee_.model);
  snapshots.take(*trainee_.optimizer, {});
  const auto scratch = test::make<test::Normed>(7);
  const std::vector<std::pair<std::string, std::function<void()>>> calls{
      {"RunRecord::start()", [&] { record.start(*trainee_.optimizer, "ring"); }},
      {"RunRecord::finish()", [&] { record.finish(*trainee_.optimizer); }},
      {"accuracy_of_common_model()",
       [&] { std::ignore = accuracy_of_common_model(world(), test); }},
      {"job_info()", [&] { std::ignore = job_info(world()); }},
      {"evaluate()", [&] { evaluate(world(), *trainee_.optimizer, test, epoch); }},
      {"Snapshots::evaluated()",
       [&] { std::ignore = snapshots.evaluated(world(), *scratch, test); }}};
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    expect_throw<JointError>([&, &call = call] { rank() == 0 ? call() : world().barrier(); },
                             {"rank 0 is in " + name, "in a barrier"});
  }
}

TEST_F(RunRecordTest, RanksThatMadeDifferentStepsAreNotEvaluatedTogether) {
  if (size() == 1) return;
  const auto step_alone = [&] {
    const auto alone = trainee_.optimizer->no_sync();
    trainee_.step();
  };
  if (rank() == 0) step_alone();
  const TestSet test{.num_samples = 1,
                     .num_correct = [](std::int64_t, std::int64_t count) { return count; }};
  EpochRecord epoch;
  expect_throw<JointError>([&] { evaluate(world(), *trainee_.optimizer, test, epoch); },
                           {"in evaluate() after 1 step,", "after 0 steps"});
  if (rank() != 0) step_alone();
}

/// The optimizer is of each rank alone, so that it has nobody to wait for itself.
TEST_F(RunRecordTest, WaitsAsLongAsTheOptimizer) {
  if (size() == 1) return;
  const auto alone = transport::make_process_group(mpi::Communicator::duplicate(MPI_COMM_SELF));
  optim::OptimizerOptions hurried = test::method_options();
  hurried.timeout = std::chrono::milliseconds(100);
  const Trainee run(*alone, "gossip-sgd", test::momentum_sgd, 1, hurried);
  RunRecord record(world(), options());
  record.start(*trainee_.optimizer, "ring");
  if (rank() == 0) {
    expect_throw<TimeoutError>([&] { record.finish(*run.optimizer); },
                               {"Rank 0 waited 0.", "in RunRecord::finish() for rank"});
  }
  MPI_Barrier(MPI_COMM_WORLD);
  world().barrier();
}

TEST_F(RunRecordTest, AFolderThatOneRankCannotWriteIsAnErrorOfAll) {
  RunRecordOptions options = this->options();
  if (rank() == last()) {
    options.folder /= "file";
    test::write_file(options.folder, "in the way");
  }
  RunRecord record(world(), options);
  expect_throw<JointError>([&] { record.start(*trainee_.optimizer, "ring"); },
                           {"Cannot make the output folder"});
}

TEST_F(RunRecordTest, RefusesOptionsOutOfRange) {
  for (std::int64_t RunRecordOptions::*option :
       {&RunRecordOptions::epochs, &RunRecordOptions::steps_per_epoch,
        &RunRecordOptions::batch_size, &RunRecordOptions::log_every}) {
    RunRecordOptions wrong = options();
    wrong.*option = 0;
    expect_throw<Error>([&] { RunRecord(world(), wrong); }, {"is 0: it must be at least 1"});
  }
}

}  // namespace
}  // namespace gossip::train
