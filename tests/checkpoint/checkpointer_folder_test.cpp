// SPDX-License-Identifier: Apache-2.0
// Whose the folder is, and what is refused or goes wrong.
#include "checkpoint/checkpointer_test_support.h"
#include "support/failing_readdir.h"

namespace gossip::checkpoint {
namespace {

using test::CheckpointerTest;
using test::momentum_sgd;
using test::SharedFolder;
using test::Trainee;

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

TEST_F(CheckpointerTest, RefusesOptionsThatDifferWhereTheRanksActTogether) {
  if (size() == 1) return;
  const Trainee run(world(), "allreduce", momentum_sgd, 2);
  const bool is_last = rank() == size() - 1;
  const auto refused = [&](const CheckpointOptions& options, const std::string& part) {
    test::expect_throw<JointError>(
        [&] { Checkpointer(world(), *run.model, *run.optimizer, options); },
        {"disagree on the options of the checkpoints", part});
  };
  refused({.folder = "x", .every_steps = is_last ? 7 : 5}, "has every_steps 7");
  refused({.folder = "x", .resumes_from_mean = is_last}, "has resumes_from_mean true");
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
TEST_F(CheckpointerTest, LeavesAFolderAloneThatAnotherRunHasTaken) {
  const SharedFolder folder(world());
  const Trainee run(world(), "allreduce", momentum_sgd, 2);
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every_steps = 2});
  EXPECT_FALSE(train(run, checkpoints, 3));
  if (rank() == 0) {  // at once: the thread that writes may be reading it
    test::write_file(folder.path() / "lock.new", "another one");
    std::filesystem::rename(folder.path() / "lock.new", folder.path() / "lock");
  }
  world().barrier();
  test::expect_throw<JointError>(
      [&] {
        while (run.optimizer->steps() < 2000)
          EXPECT_FALSE(train(run, checkpoints, run.optimizer->steps() + 1));
      },
      {"was taken by another run (another one)"});
  test::expect_throw<JointError>([&] { static_cast<void>(checkpoints.finish()); }, {"another one"});
  EXPECT_FALSE(std::filesystem::exists(manifest_file(folder.path() / "step-4")));
}

TEST_F(CheckpointerTest, AFolderThatRankZeroCannotReadIsAnErrorOfAll) {
  const SharedFolder folder(world());
  const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
  {
    Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                             {.folder = folder.path(), .every_steps = 2});
    EXPECT_FALSE(train(run, checkpoints, 2));
  }
  world().barrier();
  const Trainee again(world(), "gossip-sgd", momentum_sgd, 77);
  Checkpointer checkpoints(world(), *again.model, *again.optimizer, {.folder = folder.path()});
  if (rank() == 0) test::names_until_failure = 1;
  test::expect_throw<JointError>([&] { static_cast<void>(checkpoints.resume()); },
                                 {"Cannot see which checkpoints", "Input/output error"});
  test::names_until_failure = -1;
  EXPECT_TRUE(checkpoints.resume());
  EXPECT_FALSE(checkpoints.finish());
}

}  // namespace
}  // namespace gossip::checkpoint
