// SPDX-License-Identifier: Apache-2.0
// A job that is suspended for longer than its timeout goes on when it is resumed.
#include <chrono>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <libgossip/base/deadline.h>

#include "checkpoint/checkpointer_test_support.h"

namespace gossip::checkpoint {
namespace {

using test::CheckpointerTest;
using test::momentum_sgd;
using test::SharedFolder;
using test::Trainee;

constexpr std::chrono::seconds kTimeout{3};
constexpr const char* kStopped = "4";  // seconds

/// Stops this process, with all its threads, and lets it go on: begun by all ranks, it suspends the
/// job.
class Suspension {
 public:
  Suspension() {
    const std::string self = std::to_string(getpid());
    // Before it ranks come to a wait for the last one, which goes on when they have looked at the
    // clock again.
    const std::string command = "sleep 0.3; kill -STOP " + self + "; sleep " + kStopped +
                                "; kill -CONT " + self + "; sleep 0.3";
    const char* arguments[] = {"sh", "-c", command.c_str(), nullptr};
    EXPECT_EQ(posix_spawn(&helper_, "/bin/sh", nullptr, nullptr,
                          const_cast<char* const*>(arguments), environ),
              0);
  }
  Suspension(const Suspension&) = delete;
  Suspension& operator=(const Suspension&) = delete;
  ~Suspension() { wait_for_end(); }

  /// Looks at the clock all the time, so that it lacks the stop alone.
  void wait_for_end() {
    if (helper_ <= 0) return;
    do {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      static_cast<void>(RunningClock::now());
    } while (waitpid(helper_, nullptr, WNOHANG) == 0);
    helper_ = 0;
    EXPECT_GE(seconds_between(begin_, Clock::now()) -
                  seconds_between(running_begin_, RunningClock::now()),
              3.0)
        << "the process was not stopped";
  }

 private:
  const Clock::time_point begin_ = Clock::now();
  const RunningClock::time_point running_begin_ = RunningClock::now();
  pid_t helper_ = 0;
};

class SuspendedJobTest : public CheckpointerTest {
 protected:
  /// The last rank comes late to what all ranks do.
  template <class Body>
  void while_suspended(const Body& body) const {
    world().barrier();
    Suspension suspension;
    if (rank() == last()) suspension.wait_for_end();
    body();
  }
};

TEST_F(SuspendedJobTest, GoesOnWhereverItsRanksWait) {
  if (size() != 2) return;
  const SharedFolder folder(world());
  optim::OptimizerOptions options = test::method_options();
  options.local_steps = 1;
  options.timeout = kTimeout;
  const Trainee run(world(), "gossip-sgd", momentum_sgd, 2, options);
  Checkpointer checkpoints(world(), *run.model, *run.optimizer,
                           {.folder = folder.path(), .every_steps = 1});
  checkpoints.start();
  run.step();

  while_suspended([&] { run.step(); });
  while_suspended([&] { run.optimizer->with_mean_model([] {}); });
  while_suspended([&] { EXPECT_FALSE(checkpoints.after_step()); });
  while_suspended([&] { EXPECT_FALSE(checkpoints.finish()); });

  EXPECT_EQ(run.optimizer->steps(), 2);
  EXPECT_FALSE(sets(folder).empty());
}

TEST_F(SuspendedJobTest, TakesNobodyForLostThatWasSuspendedToo) {
  if (size() != 2) return;
  optim::OptimizerOptions options = test::method_options();
  options.local_steps = 1;
  options.timeout = kTimeout;
  const Trainee newest(world(), "async-gossip", momentum_sgd, 2, options);
  const Trainee paired(world(), "ad-psgd", momentum_sgd, 2, options);
  const auto step = [&] {
    newest.step();
    paired.step();
  };
  step();
  for (int suspension = 0; suspension < 2; ++suspension) {
    world().barrier();
    Suspension().wait_for_end();
    for (int i = 0; i < 3; ++i) step();  // before the other one has published anything
    world().barrier();
    step();
  }
  EXPECT_EQ(newest.optimizer->steps(), 9);
  EXPECT_EQ(newest.optimizer->counters().neighbors_lost, 0);
}

TEST_F(SuspendedJobTest, OfMoreRanksGoesOnToo) {
  if (size() < 3) return;
  optim::OptimizerOptions options = test::method_options();
  options.local_steps = 1;
  options.timeout = kTimeout;
  const Trainee averaged(world(), "allreduce", momentum_sgd, 2, options);
  const Trainee pushed(world(), "push-sum", momentum_sgd, 2, options);
  const Trainee accelerated(world(), "dadao", momentum_sgd, 2, options);
  options.overlap = true;
  const Trainee overlapped(world(), "push-sum", momentum_sgd, 2, options);
  const auto step_freely = [&] {
    accelerated.step();
    overlapped.step();
  };
  step_freely();

  while_suspended([&] { averaged.step(); });
  while_suspended([&] { pushed.step(); });
  for (int i = 0; i < 3; ++i) step_freely();
  averaged.step();
  pushed.step();

  EXPECT_EQ(averaged.optimizer->steps(), 2);
  EXPECT_EQ(pushed.optimizer->steps(), 2);
  EXPECT_EQ(accelerated.optimizer->steps(), 4);
  EXPECT_EQ(overlapped.optimizer->steps(), 4);
  for (const Trainee* run : {&pushed, &overlapped}) {
    EXPECT_EQ(run->optimizer->counters().neighbors_lost, 0);
  }
  world().barrier();
}

}  // namespace
}  // namespace gossip::checkpoint
