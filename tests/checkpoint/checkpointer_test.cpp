// SPDX-License-Identifier: Apache-2.0
// What a set holds, and how a run goes on from it.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <thread>

#include <libgossip/base/deadline.h>

#include "checkpoint/checkpointer_test_support.h"

namespace gossip::checkpoint {
namespace {

using test::adamw;
using test::CheckpointerTest;
using test::Kept;
using test::momentum_sgd;
using test::SharedFolder;
using test::Trainee;

/// Those that wait for each other.
std::vector<std::string> synchronous_names() {
  std::vector<std::string> names;
  for (const optim::OptimizerName& entry : optim::optimizer_names()) {
    if (!entry.is_asynchronous) names.emplace_back(entry.name);
  }
  return names;
}

/// With the learning rate 0.
std::unique_ptr<torch::optim::Optimizer> still(torch::nn::Module& model) {
  return std::make_unique<torch::optim::SGD>(test::sgd(model, 0.0));
}

TEST_F(CheckpointerTest, EveryMethodGoesOnToTheBit) {
  const SharedFolder folder(world());
  for (const std::string& name : synchronous_names()) {
    for (const std::int64_t cut : {1, 2, 4}) {
      const bool is_adamw = cut == 2 && name != "slowmo" && name != "diloco";
      const auto local = is_adamw ? adamw : momentum_sgd;
      const std::filesystem::path path = folder.path() / (name + std::to_string(cut));
      const Trainee whole(world(), name, local, 2);
      {
        Checkpointer checkpoints(world(), *whole.model, *whole.optimizer,
                                 {.folder = path, .every_steps = cut});
        checkpoints.start();
        EXPECT_FALSE(train(whole, checkpoints, 2 * cut - 1));
        EXPECT_FALSE(checkpoints.finish());
      }
      for (int i = 0; i < 4; ++i) whole.step();

      const Trainee again(world(), name, local, 77);
      Checkpointer checkpoints(world(), *again.model, *again.optimizer, {.folder = path});
      const auto resumed = checkpoints.resume();
      EXPECT_TRUE(resumed && resumed->is_exact) << name;
      EXPECT_EQ(again.optimizer->steps(), cut) << name;
      EXPECT_FALSE(train(again, checkpoints, 2 * cut + 3));
      EXPECT_EQ(again.bytes(), whole.bytes()) << name << " after step " << cut;
      EXPECT_FALSE(checkpoints.finish());
    }
  }
}

/// At the same time, and at steps of their own.
TEST_F(CheckpointerTest, HalvesThatWereSplitGoOnEachFromAFolderOfItsOwn) {
  const SharedFolder folder(world());
  const int half = rank() % 2;
  const auto group = world().split(half, 0);
  const std::int64_t cut = 2 + half;
  for (const std::string name : {"gossip-sgd", "push-sum"}) {
    const std::filesystem::path path = folder.path() / (name + std::to_string(half));
    const Trainee whole(*group, name, momentum_sgd, 2);
    {
      Checkpointer checkpoints(*group, *whole.model, *whole.optimizer,
                               {.folder = path, .every_steps = cut});
      checkpoints.start();
      EXPECT_FALSE(train(whole, checkpoints, 2 * cut - 1));
      EXPECT_FALSE(checkpoints.finish());
    }
    EXPECT_EQ(std::ssize(read_manifest(path / set_name(cut)).ranks), group->size());
    for (int i = 0; i < 4; ++i) whole.step();

    const Trainee again(*group, name, momentum_sgd, 77);
    Checkpointer checkpoints(*group, *again.model, *again.optimizer, {.folder = path});
    const auto resumed = checkpoints.resume();
    EXPECT_TRUE(resumed && resumed->is_exact) << name;
    EXPECT_EQ(again.optimizer->steps(), cut);
    EXPECT_FALSE(train(again, checkpoints, 2 * cut + 3));
    EXPECT_TRUE(again.bytes() == whole.bytes()) << name;
    EXPECT_FALSE(checkpoints.finish());
  }
}

TEST_F(CheckpointerTest, MassIsConservedOverTheFiles) {
  const SharedFolder folder(world());
  for (const std::string name : {"push-sum", "gradient-tracking", "push-pull", "push-diging"}) {
    const std::filesystem::path path = folder.path() / name;
    const Trainee run(world(), name, momentum_sgd, 2);
    Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                             {.folder = path, .every_steps = 7});
    checkpoints.start();
    EXPECT_FALSE(train(run, checkpoints, 7));
    EXPECT_FALSE(checkpoints.finish());
    if (rank() != 0) continue;
    double weight = 0.0;
    const Manifest manifest = read_manifest(path / "step-7");
    for (const RankEntry& entry : manifest.ranks) weight += entry.weight;
    EXPECT_NEAR(weight, size(), 1e-12) << name;
    if (name == "push-sum") continue;
    // A rank's tracker y is its gradient g and the correction: the sum of these is that of y - g.
    std::vector<double> sum;
    for (const RankEntry& entry : manifest.ranks) {
      const RankRecord record = read_record(path / "step-7", manifest, entry.rank);
      std::vector<std::byte> memory(record.tensor_bytes);
      const SafetensorsContents contents = read_tensors(path / "step-7", record, memory);
      for (const TensorInfo& tensor : contents.tensors) {
        if (tensor.name != "optimizer.state.correction_0") continue;
        sum.resize(tensor.bytes / sizeof(double));
        for (std::size_t i = 0; i < sum.size(); ++i) {
          double value = 0.0;
          std::memcpy(&value, contents.data.data() + tensor.offset_bytes + i * sizeof(value),
                      sizeof(value));
          sum[i] += value;
        }
      }
    }
    EXPECT_FALSE(sum.empty()) << name;
    for (const double value : sum) EXPECT_NEAR(value, 0.0, 1e-12) << name;
  }
}

TEST_F(CheckpointerTest, PushSumKeepsTheWeightedSumOfItsModels) {
  const SharedFolder folder(world());
  optim::OptimizerOptions options = test::method_options();
  options.initial = optim::Initial::kKeep;
  const Trainee run(world(), "push-sum", still, 2 + static_cast<std::uint64_t>(rank()), options);
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every_steps = 3, .keep = 5});
  checkpoints.start();
  EXPECT_FALSE(train(run, checkpoints, 9));
  EXPECT_FALSE(checkpoints.finish());
  if (rank() != 0) return;
  const auto first = sum_of(folder, 3, "module.first.weight", true);
  const auto last = sum_of(folder, 9, "module.first.weight", true);
  ASSERT_EQ(first.size(), 24U);
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_NEAR(first[i], last[i], 1e-12);
}

struct Free {
  const char* name;
  bool overlap;
};

TEST_F(CheckpointerTest, AsynchronousMethodsSaveWithNothingOnItsWay) {
  const SharedFolder folder(world());
  for (const Free& method : {Free{"push-sum", true}, Free{"async-gossip", false},
                             Free{"ad-psgd", false}, Free{"a2cid2", false}, Free{"dadao", false}}) {
    const std::filesystem::path path = folder.path() / method.name;
    optim::OptimizerOptions options = test::method_options();
    options.overlap = method.overlap;
    std::string at_stop;
    std::int64_t steps = 0;
    {
      const Trainee run(world(), method.name, momentum_sgd, 2, options);
      Checkpointer checkpoints(world(), *run.model, *run.optimizer, {.folder = path});
      checkpoints.start();
      if (rank() == last()) raise(SIGTERM);
      while (true) {
        run.step();
        if (rank() == last()) std::this_thread::sleep_for(std::chrono::microseconds(300));
        if (checkpoints.after_step()) break;
      }
      EXPECT_TRUE(checkpoints.finish());
      run.optimizer->paused([&] { at_stop = run.bytes(); });
      steps = run.optimizer->steps();
    }
    const std::vector<std::int64_t> found = complete_sets(path);
    ASSERT_EQ(found.size(), 1U) << method.name;
    const Manifest manifest = read_manifest(path / set_name(found[0]));
    double weight = 0.0;
    std::int64_t job_steps = 0;
    for (const RankEntry& entry : manifest.ranks) {
      weight += entry.weight;
      job_steps += entry.steps;
    }
    EXPECT_NEAR(weight, size(), 1e-12) << method.name;
    EXPECT_EQ(job_steps, found[0]) << method.name;

    const Trainee again(world(), method.name, momentum_sgd, 77, options);
    Checkpointer checkpoints(world(), *again.model, *again.optimizer, {.folder = path});
    EXPECT_TRUE(checkpoints.resume()) << method.name;
    again.optimizer->paused([&] { EXPECT_EQ(again.bytes(), at_stop) << method.name; });
    EXPECT_EQ(again.optimizer->steps(), steps) << method.name;
    for (int i = 0; i < 5; ++i) {
      again.step();
      EXPECT_FALSE(checkpoints.after_step());
    }
    EXPECT_FALSE(checkpoints.finish()) << method.name;
    EXPECT_GE(again.optimizer->steps(), steps + 5) << method.name;
  }
}

TEST_F(CheckpointerTest, ValuesOfTheProgramComeBack) {
  const SharedFolder folder(world());
  const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
  std::int64_t epoch = 3 + rank();
  double best = 0.25;
  bool is_warm = true;
  std::string note = "as it was";
  const auto add_all = [&](Checkpointer& checkpoints) {
    checkpoints.add("epoch", epoch);
    checkpoints.add("best", best);
    checkpoints.add("is_warm", is_warm);
    checkpoints.add("note", note);
  };
  {
    Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                             {.folder = folder.path(), .every_steps = 2});
    add_all(checkpoints);
    EXPECT_FALSE(train(run, checkpoints, 2));
  }
  epoch = 0;
  best = 0.0;
  is_warm = false;
  note = "";
  const Trainee again(world(), "gossip-sgd", momentum_sgd, 77);
  {
    Checkpointer without(world(), *again.model, *again.optimizer, {.folder = folder.path()});
    test::expect_throw<JointError>([&] { static_cast<void>(without.resume()); },
                                   {"step-2", "'epoch.value'", "resume it with that program"});
  }
  Checkpointer checkpoints(world(), *again.model, *again.optimizer, {.folder = folder.path()});
  add_all(checkpoints);
  EXPECT_TRUE(checkpoints.resume());
  EXPECT_EQ(epoch, 3 + rank());
  EXPECT_EQ(best, 0.25);
  EXPECT_TRUE(is_warm);
  EXPECT_EQ(note, "as it was");
  EXPECT_FALSE(checkpoints.finish());
}

TEST_F(CheckpointerTest, RandomNumbersGoOn) {
  const SharedFolder folder(world());
  torch::Tensor next;
  {
    const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
    Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                             {.folder = folder.path(), .every_steps = 2});
    torch::manual_seed(5 + static_cast<std::uint64_t>(rank()));
    EXPECT_FALSE(train(run, checkpoints, 2));
    next = torch::rand({4});
  }
  const Trainee again(world(), "gossip-sgd", momentum_sgd, 77);
  Checkpointer checkpoints(world(), *again.model, *again.optimizer, {.folder = folder.path()});
  ASSERT_TRUE(checkpoints.resume());
  EXPECT_TRUE(torch::equal(torch::rand({4}), next));
  EXPECT_FALSE(checkpoints.finish());
}

/// At whatever pace they go on; the learning rate is 0.
TEST_F(CheckpointerTest, ResumedModelsAreMixedWithNothingFromBefore) {
  const SharedFolder folder(world());
  for (const Free& method : {Free{"push-sum", true}, Free{"async-gossip", false},
                             Free{"ad-psgd", false}, Free{"a2cid2", false}}) {
    const CheckpointOptions where{.folder = folder.path() / method.name};
    optim::OptimizerOptions options = test::method_options();
    options.overlap = method.overlap;
    std::vector<torch::Tensor> saved;
    {
      const Trainee run(world(), method.name, still, 2, options);
      Checkpointer checkpoints(world(), *run.model, *run.optimizer, where);
      checkpoints.start();
      if (rank() == last()) raise(SIGTERM);
      EXPECT_TRUE(train(run, checkpoints, 100000));
      EXPECT_TRUE(checkpoints.finish());
      saved = test::copies_of(run.model->parameters());
    }
    const Trainee again(world(), method.name, still, 77, options);
    Checkpointer checkpoints(world(), *again.model, *again.optimizer, where);
    EXPECT_TRUE(checkpoints.resume()) << method.name;
    for (int i = 0; i < 5 && rank() != last(); ++i) again.step();
    world().barrier();
    for (int i = 0; i < 5 && rank() == last(); ++i) again.step();
    test::expect_near(again.model->parameters(), saved);
    EXPECT_FALSE(HasFailure()) << method.name;
    world().barrier();
  }
}

TEST_F(CheckpointerTest, AfterAReturnTheNewestSetIsOfWhatTheRunDidLast) {
  const SharedFolder folder(world());
  const CheckpointOptions options{.folder = folder.path(), .every_steps = 10, .keep = 3};
  const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
  {
    Checkpointer checkpoints(world(), *run.model, *run.optimizer, options);
    EXPECT_FALSE(train(run, checkpoints, 50));
    const Kept kept(run);
    // Until the later sets are complete, which takes the ranks some steps to agree on.
    for (bool goes_on = true; goes_on;) {
      EXPECT_FALSE(train(run, checkpoints, run.optimizer->steps() + 50));
      const bool is_there = sets(folder).size() == 3 && sets(folder).front() > 70;
      goes_on = world().all_gather(is_there ? "there" : "").front() != "there";
    }
    kept.put_back(run);
    EXPECT_FALSE(train(run, checkpoints, 70));
    EXPECT_FALSE(checkpoints.finish());
  }
  EXPECT_EQ(sets(folder).size(), 3U);
  const Trainee again(world(), "gossip-sgd", momentum_sgd, 77);
  Checkpointer checkpoints(world(), *again.model, *again.optimizer, options);
  EXPECT_TRUE(checkpoints.resume());
  EXPECT_EQ(checkpoints.steps(), 70);
  EXPECT_EQ(again.bytes(), run.bytes());
  const std::int64_t newest = sets(folder).back();
  EXPECT_FALSE(train(again, checkpoints, 80));
  EXPECT_FALSE(checkpoints.finish());
  world().barrier();
  EXPECT_EQ(sets(folder).back(), newest + 10);
}

TEST_F(CheckpointerTest, AfterAReturnNoSetIsWrittenTwice) {
  const SharedFolder folder(world());
  const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every_steps = 10, .keep = 100});
  std::int64_t returns = 0;
  checkpoints.add("returns", returns);
  EXPECT_FALSE(train(run, checkpoints, 17));
  const Kept kept(run);
  EXPECT_FALSE(train(run, checkpoints, 30));
  kept.put_back(run);
  ++returns;
  EXPECT_FALSE(train(run, checkpoints, 30));
  EXPECT_FALSE(checkpoints.finish());
  world().barrier();
  EXPECT_THAT(sets(folder), testing::ElementsAre(10, 20, 30, 40));
  for (const std::int64_t set : sets(folder)) {
    for (const RankRecord& record : records(folder, set)) {
      const auto found =
          std::ranges::find(record.values, "program.returns.value", &NamedValue::name);
      ASSERT_NE(found, record.values.end());
      EXPECT_EQ(found->value, Value(std::int64_t{set == 40 ? 1 : 0})) << set;
    }
  }
}

/// Looks after its steps until `is_over`, as a rank does that waits for others.
template <class IsOver>
void look_until(Checkpointer& checkpoints, const IsOver& is_over) {
  while (!is_over()) {
    EXPECT_FALSE(checkpoints.after_step());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// Also where so many steps are made again as were given up.
TEST_F(CheckpointerTest, AsynchronousMethodsSaveByStepsAfterAReturn) {
  constexpr int kEvery = 20;
  for (const int returns_to : {1, kEvery - 1}) {
    const SharedFolder folder(world());
    const Trainee run(world(), "ad-psgd", momentum_sgd, 2);
    std::optional<Kept> kept;
    for (int step = 0; step < returns_to; ++step) run.step();
    run.optimizer->paused([&] { kept.emplace(run); });
    Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                             {.folder = folder.path(), .every_steps = kEvery, .keep = 100});
    checkpoints.start();
    // One set is due, and no second one.
    while (run.optimizer->steps() < kEvery) run.step();
    look_until(checkpoints, [&] { return sets(folder).size() == 1; });
    const std::int64_t first = sets(folder).front();
    run.optimizer->paused([&] { kept->put_back(run); });
    run.step();
    const Deadline deadline(std::chrono::seconds(20));
    look_until(checkpoints, [&] { return sets(folder).size() > 1 || deadline.has_passed(); });
    EXPECT_FALSE(checkpoints.finish());
    world().barrier();
    ASSERT_EQ(sets(folder).size(), 2U);
    EXPECT_GT(sets(folder).back(), first);
    for (const RankRecord& record : records(folder, sets(folder).back())) {
      EXPECT_EQ(record.steps, returns_to + 1) << record.rank;
    }
  }
}

TEST_F(CheckpointerTest, AStopWhoseSetFailedIsTriedAgainWithoutAStep) {
  const SharedFolder folder(world());
  const Trainee run(world(), "ad-psgd", momentum_sgd, 2);
  bool is_full = false;
  Checkpointer checkpoints(world(), *run.model, *run.optimizer, {.folder = folder.path()});
  checkpoints.add("part", {.save = [&]() -> model::StateDict {
                             if (is_full) throw std::runtime_error("no room");
                             return {};
                           },
                           .plan = {}});
  checkpoints.start();
  if (rank() == last()) {
    is_full = true;
    raise(SIGTERM);
  }
  test::expect_throw<JointError>([&] { static_cast<void>(train(run, checkpoints, 100000)); },
                                 {"no room"});
  is_full = false;
  while (!checkpoints.after_step()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(checkpoints.finish());
  ASSERT_EQ(sets(folder).size(), 1U);
  EXPECT_EQ(records(folder, sets(folder)[0])[static_cast<std::size_t>(rank())].steps,
            run.optimizer->steps());
}

}  // namespace
}  // namespace gossip::checkpoint
