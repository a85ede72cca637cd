// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <numeric>
#include <thread>

#include <libgossip/base/deadline.h>
#include <libgossip/train/file.h>
#include <libgossip/transport/agreement.h>

#include "train/checkpointer_test_support.h"

namespace gossip::train {
namespace {

using test::adamw;
using test::momentum_sgd;
using test::SharedFolder;
using test::Trainee;

class CheckpointerTest : public test::OptimTest {
 protected:
  /// Trains until the rank has made `steps`, or is stopped.
  static bool train(const Trainee& run, Checkpointer& checkpoints, std::int64_t steps) {
    while (run.optimizer->steps() < steps) {
      run.step();
      if (checkpoints.after_step()) return true;
    }
    return false;
  }

  [[nodiscard]] static std::vector<std::int64_t> sets(const SharedFolder& folder) {
    return complete_sets(folder.path());
  }

  /// The records of all ranks in a set.
  [[nodiscard]] std::vector<RankRecord> records(const SharedFolder& folder,
                                                std::int64_t step) const {
    const std::filesystem::path set = folder.path() / set_name(step);
    const Manifest manifest = read_manifest(set);
    std::vector<RankRecord> result;
    for (Rank rank = 0; rank < size(); ++rank) result.push_back(read_record(set, manifest, rank));
    return result;
  }

  /// The sum of a tensor of doubles over the ranks' files.
  [[nodiscard]] std::vector<double> sum_of(const SharedFolder& folder, std::int64_t step,
                                           const std::string& name,
                                           bool is_weighted = false) const {
    std::vector<double> sum;
    for (const RankRecord& record : records(folder, step)) {
      std::vector<std::byte> memory(record.tensor_bytes);
      const SafetensorsContents contents =
          read_tensors(folder.path() / set_name(step), record, memory);
      for (const TensorInfo& tensor : contents.tensors) {
        if (tensor.name != name) continue;
        EXPECT_EQ(tensor.dtype, "F64");
        sum.resize(tensor.bytes / sizeof(double));
        for (std::size_t i = 0; i < sum.size(); ++i) {
          double value = 0.0;
          std::memcpy(&value, contents.data.data() + tensor.offset_bytes + i * sizeof(value),
                      sizeof(value));
          sum[i] += is_weighted ? record.weight * value : value;
        }
      }
    }
    return sum;
  }
};

/// Those that wait for each other.
std::vector<std::string> synchronous_names() {
  std::vector<std::string> names;
  for (const optim::OptimizerName& entry : optim::optimizer_names()) {
    if (!entry.is_asynchronous) names.emplace_back(entry.name);
  }
  return names;
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

TEST_F(CheckpointerTest, ASignalToOneRankStopsAllInOneStep) {
  const SharedFolder folder(world());
  const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
  Checkpointer checkpoints(world(), *run.model, *run.optimizer, {.folder = folder.path()});
  checkpoints.start();
  EXPECT_FALSE(train(run, checkpoints, 5));
  if (rank() == last()) raise(SIGUSR1);
  EXPECT_TRUE(train(run, checkpoints, 2000));
  EXPECT_TRUE(is_same_everywhere(std::to_string(run.optimizer->steps())));
  EXPECT_TRUE(checkpoints.finish());
  EXPECT_THAT(sets(folder), testing::ElementsAre(run.optimizer->steps()));
  for (const RankRecord& record : records(folder, run.optimizer->steps())) {
    EXPECT_EQ(record.steps, run.optimizer->steps());
  }
}

TEST_F(CheckpointerTest, ASignalAfterTheLastStepComesTooLate) {
  const SharedFolder folder(world());
  const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
  Checkpointer checkpoints(world(), *run.model, *run.optimizer, {.folder = folder.path()});
  EXPECT_FALSE(train(run, checkpoints, 5));
  if (rank() == last()) raise(SIGUSR1);
  EXPECT_FALSE(checkpoints.finish());
  EXPECT_THAT(sets(folder), testing::IsEmpty());
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
    // The tracker y of a rank is its gradient g and the correction: the sum of these is that of y - g.
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
  const auto still = [](torch::nn::Module& model) -> std::unique_ptr<torch::optim::Optimizer> {
    return std::make_unique<torch::optim::SGD>(test::sgd(model, 0.0));
  };
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

TEST_F(CheckpointerTest, AsynchronousMethodsSaveByTheJobsSteps) {
  const SharedFolder folder(world());
  const Trainee run(world(), "ad-psgd", momentum_sgd, 2);
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every_steps = 20, .keep = 100});
  checkpoints.start();
  // One rank ends early, and the others still save.
  for (int step = 0; step < (rank() == 0 ? 400 : 500); ++step) {
    run.step();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_FALSE(checkpoints.after_step());
  }
  EXPECT_FALSE(checkpoints.finish());
  const std::vector<std::int64_t> found = sets(folder);
  EXPECT_GE(found.size(), 1U);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_GE(found[i], 20 * size() * static_cast<std::int64_t>(i + 1));
  }
}

TEST_F(CheckpointerTest, AsynchronousMethodsCountTheStepsBeforeAResume) {
  const SharedFolder folder(world());
  {
    const Trainee run(world(), "ad-psgd", momentum_sgd, 2);
    Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                             {.folder = folder.path(), .every_steps = 20});
    for (bool is_saved = false; !is_saved;) {
      run.step();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      EXPECT_FALSE(checkpoints.after_step());
      is_saved = !sets(folder).empty();
    }
    EXPECT_FALSE(checkpoints.finish());
  }
  const std::int64_t saved = sets(folder).back();
  world().barrier();
  const Trainee again(world(), "ad-psgd", momentum_sgd, 3);
  Checkpointer checkpoints(world(), *again.model, *again.optimizer,
                           {.folder = folder.path(), .every_steps = saved / size()});
  ASSERT_TRUE(checkpoints.resume());
  again.step();
  for (int look = 0; look < 40; ++look) {  // long enough to agree on a set, if one were wished for
    EXPECT_FALSE(checkpoints.after_step());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_FALSE(checkpoints.finish());
  EXPECT_EQ(sets(folder).back(), saved);
}

/// Ranks that warm up for longer wait for exchanges with those that take the folder.
TEST_F(CheckpointerTest, TheFolderIsTakenWhileOthersTrain) {
  const SharedFolder folder(world());
  const Trainee run(world(), "dadao", momentum_sgd, 2);
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every_steps = 20});
  for (int step = 0; step < (rank() == 0 ? 400 : 5); ++step) run.step();
  for (int step = 0; step < 10; ++step) {
    run.step();
    EXPECT_FALSE(checkpoints.after_step());
  }
  EXPECT_FALSE(checkpoints.finish());
}

TEST_F(CheckpointerTest, SavesAfterSomeTimeAndKeepsTheNewest) {
  const SharedFolder folder(world());
  const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
  Checkpointer checkpoints(
      world(), *run.model, *run.optimizer,
      {.folder = folder.path(), .every = std::chrono::milliseconds(20), .keep = 2});
  checkpoints.start();
  for (bool goes_on = true; goes_on;) {
    EXPECT_FALSE(train(run, checkpoints, run.optimizer->steps() + 50));
    const std::string found = world().all_gather(std::to_string(sets(folder).size())).front();
    goes_on = run.optimizer->steps() < 5000 && found != "2";
  }
  EXPECT_FALSE(checkpoints.finish());
  EXPECT_EQ(sets(folder).size(), 2U);
}

TEST_F(CheckpointerTest, SavesNoOftenerThanAskedFor) {
  const SharedFolder folder(world());
  const Trainee run(world(), "ad-psgd", momentum_sgd, 2);
  constexpr std::chrono::milliseconds kEvery{300};
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every = kEvery, .keep = 100});
  const Clock::time_point begin = Clock::now();
  checkpoints.start();
  while (Clock::now() - begin < 4 * kEvery) {
    run.step();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_FALSE(checkpoints.after_step());
  }
  EXPECT_FALSE(checkpoints.finish());
  EXPECT_LE(sets(folder).size(), static_cast<std::size_t>((Clock::now() - begin) / kEvery));
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

TEST_F(CheckpointerTest, RefusesTensorsThatHaveNoPlaceHere) {
  const SharedFolder folder(world());
  const auto save = [] {
    model::StateDict state;
    state.add("seen", torch::ones({3}));
    return state;
  };
  {
    const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
    run.model->register_buffer("more", torch::ones({2}));
    Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                             {.folder = folder.path(), .every_steps = 2});
    checkpoints.add("images", {.save = save, .plan = {}});
    EXPECT_FALSE(train(run, checkpoints, 2));
  }
  const auto refused = [&](bool has_buffer, bool has_part, const std::vector<std::string>& parts) {
    const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
    if (has_buffer) run.model->register_buffer("more", torch::ones({2}));
    Checkpointer checkpoints(world(), *run.model, *run.optimizer, {.folder = folder.path()});
    const auto reads_nothing = [](model::StateReader&) { return [] {}; };
    if (has_part) checkpoints.add("images", {.save = save, .plan = reads_nothing});
    test::expect_throw<JointError>([&] { static_cast<void>(checkpoints.resume()); }, parts);
  };
  refused(false, true, {"The module that was saved has the tensor 'more'"});
  refused(true, true, {"'images' of the program that was saved has the tensor 'seen'"});
  refused(true, false, {"It holds 'images.seen' of the program"});
}

TEST_F(CheckpointerTest, ARunWithoutACheckpointStartsFromTheBeginning) {
  const SharedFolder folder(world());
  const Trainee run(world(), "allreduce", momentum_sgd, 2);
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path() / "new", .every_steps = 1});
  EXPECT_FALSE(checkpoints.resume());
  EXPECT_FALSE(train(run, checkpoints, 2));
  EXPECT_FALSE(checkpoints.finish());
  EXPECT_THAT(complete_sets(folder.path() / "new"), testing::ElementsAre(1, 2));
}

TEST_F(CheckpointerTest, TwoRunsDoNotDestroyEachOther) {
  const SharedFolder folder(world());
  const Trainee run(world(), "allreduce", momentum_sgd, 2);
  const CheckpointOptions options{.folder = folder.path(), .every_steps = 1};
  {
    Checkpointer first(world(), *run.model, *run.optimizer, options);
    first.start();
    Checkpointer second(world(), *run.model, *run.optimizer, options);
    test::expect_throw<JointError>([&] { second.start(); },
                                   {"still goes on", folder.path().string()});
    EXPECT_FALSE(train(run, first, 1));
  }
  Checkpointer third(world(), *run.model, *run.optimizer, options);
  test::expect_throw<JointError>([&] { third.start(); }, {"earlier run", "'step-1'", "--resume"});
}

TEST_F(CheckpointerTest, RefusesOptionsOutOfRange) {
  const Trainee run(world(), "allreduce", momentum_sgd, 2);
  const auto refused = [&](const CheckpointOptions& options, const std::string& part) {
    test::expect_throw<JointError>(
        [&] { Checkpointer(world(), *run.model, *run.optimizer, options); }, {part});
  };
  refused({}, "No folder");
  refused({.folder = "x", .every_steps = -1}, "-1 steps");
  refused({.folder = "x", .keep = 0}, "0 are to be kept");
}

TEST_F(CheckpointerTest, RemovesWhatIsNoSet) {
  const SharedFolder folder(world());
  const std::filesystem::path left = folder.path() / set_name(1);
  const auto leave = [&] {
    if (rank() != 0) return;
    std::filesystem::create_directory(left);
    test::write_file(record_file(left, 0), "of a run that was killed");
  };
  leave();
  const Trainee run(world(), "allreduce", momentum_sgd, 2);
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every_steps = 2});
  checkpoints.start();
  world().barrier();
  EXPECT_FALSE(std::filesystem::exists(left));
  world().barrier();
  leave();
  EXPECT_FALSE(train(run, checkpoints, 2));
  EXPECT_FALSE(checkpoints.finish());
  world().barrier();
  EXPECT_FALSE(std::filesystem::exists(left));
  EXPECT_THAT(sets(folder), testing::ElementsAre(2));
}

/// What goes wrong in the background is an error of the training thread, and the older set stays.
class CheckpointerErrorTest : public CheckpointerTest {
 protected:
  void SetUp() override {
    CheckpointerTest::SetUp();
    if (size() > 1) GTEST_SKIP() << "with others the error of one rank ends the job";
  }

  /// Saves step 2, has `disturb` done, and saves step 4.
  void expect_error(const std::function<void()>& disturb, const std::string& text) {
    EXPECT_FALSE(train(run_, checkpoints_, 3));
    disturb();
    test::expect_throw<Error>(
        [&] {
          EXPECT_FALSE(train(run_, checkpoints_, 4));
          const Deadline deadline(std::chrono::seconds(20));
          while (!deadline.has_passed()) EXPECT_FALSE(checkpoints_.after_step());
        },
        {text});
  }

  const SharedFolder folder_{world()};
  const Trainee run_{world(), "allreduce", momentum_sgd, 2};
  Checkpointer checkpoints_{
      world(), *run_.model, *run_.optimizer, {.folder = folder_.path(), .every_steps = 2}};
};

TEST_F(CheckpointerErrorTest, SaysWhatCouldNotBeWritten) {
  expect_error([&] { test::write_file(folder_.path() / "step-4", "in the way"); }, "step-4");
  EXPECT_FALSE(checkpoints_.finish());
  EXPECT_THAT(sets(folder_), testing::ElementsAre(2));
}

TEST_F(CheckpointerErrorTest, LeavesAFolderAloneThatAnotherRunHasTaken) {
  expect_error([&] { test::write_file(folder_.path() / "lock", "another one"); },
               "was taken by another run (another one)");
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "step-4"));
}

}  // namespace
}  // namespace gossip::train
