// SPDX-License-Identifier: Apache-2.0
// When a set is saved: by a signal, by steps, by time.
#include <atomic>
#include <chrono>
#include <csignal>
#include <limits>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <libgossip/base/deadline.h>

#include "checkpoint/checkpointer_test_support.h"

namespace {

/// How long the next fsync() of this process takes.
std::atomic<std::chrono::milliseconds> slow_fsync{std::chrono::milliseconds(0)};

}  // namespace

/// In place of the system's: a disk that is slow.
extern "C" int fsync(int file) {
  std::this_thread::sleep_for(slow_fsync.exchange(std::chrono::milliseconds(0)));
  return static_cast<int>(::syscall(SYS_fsync, file));
}

namespace gossip::checkpoint {
namespace {

using test::CheckpointerTest;
using test::momentum_sgd;
using test::SharedFolder;
using test::Trainee;

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

TEST_F(CheckpointerTest, AsynchronousMethodsSaveByTheJobsSteps) {
  const SharedFolder folder(world());
  const Trainee run(world(), "ad-psgd", momentum_sgd, 2);
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every_steps = 20, .keep = 100});
  checkpoints.start();
  // One rank ends early, and the others still save.
  const auto needs_longer = [&](int step) { return step < 20000 && sets(folder).empty(); };
  for (int step = 0; step < (rank() == 0 ? 400 : 500) || needs_longer(step); ++step) {
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
    goes_on = found != "2";
  }
  EXPECT_FALSE(checkpoints.finish());
  EXPECT_EQ(sets(folder).size(), 2U);
}

TEST_F(CheckpointerTest, TheLongestPeriodsThereAreNeverEnd) {
  for (const char* method : {"gossip-sgd", "ad-psgd"}) {
    const SharedFolder folder(world());
    const Trainee run(world(), method, momentum_sgd, 2);
    Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                             {.folder = folder.path(),
                              .every_steps = std::numeric_limits<std::int64_t>::max(),
                              .every = std::chrono::milliseconds::max()});
    checkpoints.start();
    EXPECT_FALSE(train(run, checkpoints, 30));
    EXPECT_FALSE(checkpoints.finish());
    EXPECT_THAT(sets(folder), testing::IsEmpty()) << method;
  }
}

TEST_F(CheckpointerTest, AMillisecondIsAPeriod) {
  const SharedFolder folder(world());
  const Trainee run(world(), "gossip-sgd", momentum_sgd, 2);
  Checkpointer checkpoints(
      world(), *run.model, *run.optimizer,
      {.folder = folder.path(), .every = std::chrono::milliseconds(1), .keep = 100});
  checkpoints.start();
  std::this_thread::sleep_for(std::chrono::milliseconds(2));  // steps may take less
  EXPECT_FALSE(train(run, checkpoints, 30));
  EXPECT_FALSE(checkpoints.finish());
  EXPECT_FALSE(sets(folder).empty());
}

TEST_F(CheckpointerTest, SavesNoOftenerThanAskedFor) {
  const SharedFolder folder(world());
  const Trainee run(world(), "ad-psgd", momentum_sgd, 2);
  constexpr std::chrono::milliseconds kEvery{300};
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every = kEvery, .keep = 100});
  const Clock::time_point begin = Clock::now();
  checkpoints.start();
  // Whoever sees a set leaves it there for the others.
  while (Clock::now() - begin < 4 * kEvery ||
         (sets(folder).empty() && run.optimizer->steps() < 20000)) {
    run.step();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_FALSE(checkpoints.after_step());
  }
  EXPECT_FALSE(checkpoints.finish());
  EXPECT_GE(sets(folder).size(), 1U);
  EXPECT_LE(sets(folder).size(), static_cast<std::size_t>((Clock::now() - begin) / kEvery));
}

/// Longer than ranks wait for each other. Two ranks: so few that each gets a core in time.
class CheckpointerWaitTest : public CheckpointerTest {
 protected:
  static constexpr std::chrono::seconds kTimeout{4};
  static constexpr std::chrono::seconds kLonger{8};

  static optim::OptimizerOptions impatient() {
    optim::OptimizerOptions options = test::method_options();
    options.timeout = kTimeout;
    return options;
  }
};

TEST_F(CheckpointerWaitTest, TheEndWaitsForASlowDisk) {
  if (size() != 2) return;
  const SharedFolder folder(world());
  const Trainee run(world(), "gossip-sgd", momentum_sgd, 2, impatient());
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every_steps = 3});
  checkpoints.start();
  EXPECT_FALSE(train(run, checkpoints, 2));
  if (rank() == last()) slow_fsync = kLonger;
  EXPECT_FALSE(train(run, checkpoints, 3));
  EXPECT_FALSE(checkpoints.finish());
  EXPECT_THAT(sets(folder), testing::ElementsAre(3));
}

TEST_F(CheckpointerWaitTest, TheNextSetWaitsForASlowDisk) {
  if (size() != 2) return;
  const SharedFolder folder(world());
  const Trainee run(world(), "gossip-sgd", momentum_sgd, 2, impatient());
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every_steps = 3});
  checkpoints.start();
  if (rank() == last()) slow_fsync = kLonger;
  EXPECT_FALSE(train(run, checkpoints, 7));
  EXPECT_FALSE(checkpoints.finish());
  EXPECT_THAT(sets(folder), testing::ElementsAre(3, 6));
}

}  // namespace
}  // namespace gossip::checkpoint
