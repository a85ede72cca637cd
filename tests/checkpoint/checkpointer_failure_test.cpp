// SPDX-License-Identifier: Apache-2.0
// Sets that cannot be saved, and how a run goes on after them.
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/checkpointer_test_support.h"

namespace gossip::checkpoint {
namespace {

using test::CheckpointerTest;
using test::momentum_sgd;
using test::SharedFolder;
using test::Trainee;

/// The program catches what after_step() and finish() throw, and goes on.
class CheckpointerFailureTest : public CheckpointerTest {
 protected:
  void train_on(const Trainee& run, Checkpointer& checkpoints, std::int64_t steps) {
    while (run.optimizer->steps() < steps) {
      run.step();
      note([&] { EXPECT_FALSE(checkpoints.after_step()); });
    }
  }

  /// Until nothing is left to be told.
  void finish(Checkpointer& checkpoints) {
    note([&] { EXPECT_FALSE(checkpoints.finish()); });
    EXPECT_FALSE(checkpoints.finish());
    EXPECT_TRUE(is_same_everywhere(fmt::format("{}", fmt::join(errors_, "; "))));
  }

  template <class Call>
  void note(const Call& call) {
    try {
      call();
    } catch (const JointError& error) {
      errors_.emplace_back(error.what());
    }
  }

  /// An empty folder where a file of a set is to be.
  void obstruct(std::int64_t step, const std::string& name) const {
    if (rank() == 0) std::filesystem::create_directories(folder_.path() / set_name(step) / name);
    world().barrier();
  }

  [[nodiscard]] std::string tensors_of_last() const {
    return fmt::format("rank-{}.safetensors.tmp", last());
  }

  [[nodiscard]] CheckpointOptions options() const {
    return {.folder = folder_.path(), .every_steps = 2, .keep = 100};
  }

  /// The sets in the folder, incomplete ones included.
  [[nodiscard]] std::vector<std::string> folders() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      if (entry.is_directory()) names.push_back(entry.path().filename().string());
    }
    return names;
  }

  const SharedFolder folder_{world()};
  const Trainee run_{world(), "gossip-sgd", momentum_sgd, 2};
  std::vector<std::string> errors_;
};

TEST_F(CheckpointerFailureTest, LaterSetsAreCompleteAfterOneThatARankCouldNotWrite) {
  Checkpointer checkpoints(world(), *run_.model, *run_.optimizer, options());
  checkpoints.start();
  obstruct(4, tensors_of_last());
  train_on(run_, checkpoints, 8);
  finish(checkpoints);
  EXPECT_THAT(sets(folder_), testing::ElementsAre(2, 6, 8));
  EXPECT_THAT(folders(), testing::UnorderedElementsAre("step-2", "step-6", "step-8"));
  ASSERT_EQ(errors_.size(), 1U);
  EXPECT_THAT(errors_[0], testing::AllOf(testing::HasSubstr("step-4' could not be saved"),
                                         testing::HasSubstr(tensors_of_last()),
                                         testing::HasSubstr("Is a directory")));
}

TEST_F(CheckpointerFailureTest, SeveralSetsMayFailOneAfterTheOther) {
  Checkpointer checkpoints(world(), *run_.model, *run_.optimizer, options());
  checkpoints.start();
  obstruct(2, tensors_of_last());
  obstruct(4, "rank-0.json.tmp");
  obstruct(6, tensors_of_last());
  train_on(run_, checkpoints, 10);
  finish(checkpoints);
  EXPECT_THAT(sets(folder_), testing::ElementsAre(8, 10));
  EXPECT_THAT(folders(), testing::UnorderedElementsAre("step-8", "step-10"));
  EXPECT_GE(errors_.size(), 1U);
}

TEST_F(CheckpointerFailureTest, ASetWhoseManifestCannotBeWrittenIsGivenUp) {
  Checkpointer checkpoints(world(), *run_.model, *run_.optimizer, options());
  checkpoints.start();
  obstruct(4, "manifest.json.tmp");
  train_on(run_, checkpoints, 6);
  finish(checkpoints);
  EXPECT_THAT(sets(folder_), testing::ElementsAre(2, 6));
  EXPECT_THAT(folders(), testing::UnorderedElementsAre("step-2", "step-6"));
  ASSERT_EQ(errors_.size(), 1U);
  EXPECT_THAT(errors_[0], testing::HasSubstr("step-4/manifest.json.tmp"));
}

TEST_F(CheckpointerFailureTest, TheLastSetMayFail) {
  Checkpointer checkpoints(world(), *run_.model, *run_.optimizer, options());
  checkpoints.start();
  obstruct(6, tensors_of_last());
  train_on(run_, checkpoints, 6);
  finish(checkpoints);
  EXPECT_THAT(sets(folder_), testing::ElementsAre(2, 4));
  EXPECT_THAT(folders(), testing::UnorderedElementsAre("step-2", "step-4"));
  ASSERT_EQ(errors_.size(), 1U);
  test::expect_throw<Error>([&] { static_cast<void>(checkpoints.after_step()); },
                            {"after_step() was called after finish()"});
}

TEST_F(CheckpointerFailureTest, WhatAProgramCannotSaveOnOneRankIsAnErrorOfAll) {
  Checkpointer checkpoints(world(), *run_.model, *run_.optimizer, options());
  bool has_failed = false;
  checkpoints.add("part", {.save = [&]() -> model::StateDict {
                             if (run_.optimizer->steps() == 4 && rank() == last()) {
                               has_failed = true;
                               throw std::runtime_error("no room");
                             }
                             return {};
                           },
                           .plan = {}});
  checkpoints.start();
  train_on(run_, checkpoints, 8);
  finish(checkpoints);
  EXPECT_EQ(has_failed, rank() == last());
  EXPECT_THAT(sets(folder_), testing::ElementsAre(2, 6, 8));
  ASSERT_EQ(errors_.size(), 1U);
  EXPECT_THAT(errors_[0], testing::HasSubstr("no room"));
}

TEST_F(CheckpointerFailureTest, AStopWhoseSetFailsIsTriedAgain) {
  Checkpointer checkpoints(world(), *run_.model, *run_.optimizer, {.folder = folder_.path()});
  checkpoints.start();
  for (std::int64_t step = 1; step < 300; ++step) obstruct(step, tensors_of_last());
  if (rank() == last()) raise(SIGUSR1);
  bool is_stopped = false;
  while (!is_stopped && run_.optimizer->steps() < 2000) {
    run_.step();
    note([&] { is_stopped = checkpoints.after_step(); });
  }
  EXPECT_TRUE(is_stopped);
  EXPECT_GE(errors_.size(), 1U);
  EXPECT_THAT(sets(folder_), testing::ElementsAre(run_.optimizer->steps()));
  EXPECT_TRUE(checkpoints.finish());
}

TEST_F(CheckpointerFailureTest, RanksOutOfStepHearOfIt) {
  const Trainee run(world(), "ad-psgd", momentum_sgd, 2);
  Checkpointer checkpoints(
      world(), *run.model, *run.optimizer,
      {.folder = folder_.path(), .every = std::chrono::milliseconds(50), .keep = 100});
  checkpoints.add("part",
                  {.save = [&]() -> model::StateDict {
                     if (rank() == last() && run.optimizer->steps() > 5 && errors_.empty()) {
                       throw std::runtime_error("no room");
                     }
                     return {};
                   },
                   .plan = {}});
  checkpoints.start();
  // The ranks do not make the same steps: they go on until all see a complete set after the error.
  for (bool goes_on = true; goes_on;) {
    run.step();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    note([&] { EXPECT_FALSE(checkpoints.after_step()); });
    goes_on = (errors_.empty() || sets(folder_).empty()) && run.optimizer->steps() < 20000;
  }
  finish(checkpoints);
  EXPECT_GE(sets(folder_).size(), 1U);
  ASSERT_GE(errors_.size(), 1U);
  EXPECT_THAT(errors_[0], testing::HasSubstr("no room"));
}

TEST_F(CheckpointerFailureTest, ARefusedStartMayBeTriedAgain) {
  {
    Checkpointer checkpoints(world(), *run_.model, *run_.optimizer, options());
    checkpoints.start();
    train_on(run_, checkpoints, 2);
    finish(checkpoints);
  }
  const Trainee again(world(), "gossip-sgd", momentum_sgd, 77);
  Checkpointer checkpoints(world(), *again.model, *again.optimizer, options());
  test::expect_throw<JointError>([&] { checkpoints.start(); }, {"earlier run", "'step-2'"});
  const std::string before = again.bytes();
  {
    const Trainee other(world(), "allreduce", momentum_sgd, 77);
    Checkpointer refused(world(), *other.model, *other.optimizer, options());
    const std::string before_other = other.bytes();
    for (int attempt = 0; attempt < 2; ++attempt) {
      test::expect_throw<JointError>([&] { static_cast<void>(refused.resume()); },
                                     {"'gossip-sgd'", "'allreduce'"});
    }
    EXPECT_EQ(other.bytes(), before_other);
    EXPECT_EQ(other.optimizer->steps(), 0);
  }
  EXPECT_EQ(again.bytes(), before);
  EXPECT_TRUE(checkpoints.resume());
  EXPECT_EQ(again.optimizer->steps(), 2);
  test::expect_throw<JointError>([&] { checkpoints.start(); }, {"already"});
  train_on(again, checkpoints, 4);
  finish(checkpoints);
  EXPECT_THAT(sets(folder_), testing::ElementsAre(2, 4));
}

TEST_F(CheckpointerFailureTest, RanksOfWhichOneStartsAndOthersResumeAreTold) {
  if (size() == 1) return;
  for (const std::string method : {"gossip-sgd", "ad-psgd"}) {
    const Trainee run(world(), method, momentum_sgd, 2);
    Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                             {.folder = folder_.path() / method});
    const auto start_or_resume = [&] {
      rank() == 0 ? checkpoints.start() : static_cast<void>(checkpoints.resume());
    };
    test::expect_throw<JointError>(start_or_resume,
                                   {"The ranks are in different", "start()", "resume()"});
    EXPECT_FALSE(checkpoints.resume());  // and may try again
    EXPECT_FALSE(checkpoints.finish());
  }
}

TEST_F(CheckpointerFailureTest, ARankThatEndsWhereTheOthersSaveIsNamed) {
  if (size() == 1) return;
  Checkpointer checkpoints(world(), *run_.model, *run_.optimizer, options());
  train_on(run_, checkpoints, 1);
  run_.step();
  test::expect_throw<JointError>(
      [&] { static_cast<void>(rank() == 0 ? checkpoints.finish() : checkpoints.after_step()); },
      {"rank 0 is in Checkpointer::finish(), rank ", " in Checkpointer::after_step()."});
  finish(checkpoints);
}

TEST_F(CheckpointerFailureTest, AFolderThatARankDoesNotShareIsRefused) {
  if (size() != 2) return;  // it looks for seconds, however many the ranks
  const test::TemporaryFolder own;
  CheckpointOptions options{.folder = rank() == last() ? own.path() : folder_.path()};
  Checkpointer checkpoints(world(), *run_.model, *run_.optimizer, options);
  test::expect_throw<JointError>([&] { checkpoints.start(); },
                                 {fmt::format("On rank {}", last()), "all ranks share"});
}

/// Two ranks: so few that each gets a core in time.
TEST_F(CheckpointerFailureTest, ARankWaitsForOthersAsLongAsTheOptimizerDoes) {
  if (size() != 2) return;
  optim::OptimizerOptions impatient = test::method_options();
  impatient.timeout = std::chrono::seconds(rank() == 0 ? 3 : 60);
  const auto make_and_step = [&] {
    const Trainee run(world(), "gossip-sgd", momentum_sgd, 2, impatient);
    const auto make = [&] {
      return std::make_unique<Checkpointer>(world(), *run.model, *run.optimizer,
                                            CheckpointOptions{.folder = folder_.path()});
    };
    if (rank() == 1) MPI_Barrier(MPI_COMM_WORLD);  // comes late, and is told of it
    test::expect_throw<TimeoutError>(make, {"waited", "in the constructor of the Checkpointer"});
    if (rank() == 0) MPI_Barrier(MPI_COMM_WORLD);
    const auto checkpoints = make();
    checkpoints->start();
    for (int step = 0; step < 3; ++step) {
      run.step();
      if (rank() == 0) {
        EXPECT_FALSE(checkpoints->after_step());
      }
    }
    throw TimeoutError(0, "Rank 0 looks after its steps alone.");
  };
  test::expect_throw<TimeoutError>(
      make_and_step, {rank() == 0 ? "waited 3000 ms for the other 1 ranks to agree" : "alone"});
  world().barrier();
}

/// The optimizer and the checkpointer go while an exception unwinds the stack, with an agreement
/// in flight, and again in order.
TEST_F(CheckpointerFailureTest, ARunMayBeGivenUpAndAnotherOneBegun) {
  for (const std::string method : {"gossip-sgd", "ad-psgd", "allreduce"}) {
    bool is_caught = false;
    try {
      const Trainee run(world(), method, momentum_sgd, 2);
      Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                               {.folder = folder_.path() / method, .every_steps = 2});
      checkpoints.start();
      for (int step = 0; step < 5; ++step) {
        run.step();
        EXPECT_FALSE(checkpoints.after_step());
      }
      throw std::runtime_error("no file");
    } catch (const std::runtime_error& error) {
      is_caught = std::string(error.what()) == "no file";
    }
    EXPECT_TRUE(is_caught);
    world().barrier();
    const Trainee run(world(), method, momentum_sgd, 2);
    Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                             {.folder = folder_.path() / (method + "-again"), .every_steps = 2});
    EXPECT_FALSE(train(run, checkpoints, 4));
    EXPECT_FALSE(checkpoints.finish());
    if (!run.optimizer->is_synchronous()) continue;  // four steps may be over before a set is due
    EXPECT_GE(complete_sets(folder_.path() / (method + "-again")).size(), 1U) << method;
  }
}

}  // namespace
}  // namespace gossip::checkpoint
