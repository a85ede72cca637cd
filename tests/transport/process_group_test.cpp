// SPDX-License-Identifier: Apache-2.0
// What only groups of processes have.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/base/collective_call.h>
#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/transport/process_group.h>

#include "support/expect_throw.h"

namespace gossip::transport {
namespace {

using namespace std::chrono_literals;

class ProcessGroupTest : public testing::Test {
 protected:
  const std::unique_ptr<Group> group_ =
      make_process_group(mpi::Communicator::duplicate(MPI_COMM_WORLD));
};

/// Address space of this process, in bytes.
std::size_t address_space() {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * 4096;
}

TEST_F(ProcessGroupTest, SaysWhatItMovesBytesBy) { EXPECT_EQ(group_->transport(), "shared"); }

TEST_F(ProcessGroupTest, AChannelTakesTheMemoryThatItSaysAndNoMorePerReceiver) {
  constexpr std::size_t kMiB = std::size_t{1} << 20U;
  const auto size = static_cast<std::size_t>(group_->size());
  std::ignore = group_->make_channel({.capacity_bytes = 1});  // MPI's own memory is there now
  const std::size_t before = address_space();

  const auto channel = group_->make_channel({.capacity_bytes = 4 * kMiB, .slots = 2});
  const std::size_t after = address_space();

  // Two slots for each rank, whoever reads them, and two cache lines for each pair of ranks.
  EXPECT_EQ(channel->memory_bytes(), 2 * (4 * kMiB + 128) + size * 128);
  if (size > 1) {
    EXPECT_GE(after - before, size * channel->memory_bytes());
    EXPECT_LE(after - before, size * channel->memory_bytes() + kMiB);
  }
}

TEST_F(ProcessGroupTest, AMeanThatNobodyJoinsTimesOutOrIsStopped) {
  if (group_->size() == 1) return;
  std::vector<float> x(100, 1.0F);
  const auto mean = group_->make_mean(std::span<float>(x), 50ms);

  if (group_->rank() == 0) {
    const Deadline clock(1min);
    mean->start();
    EXPECT_THROW(mean->wait(), TimeoutError);
    EXPECT_GE(clock.elapsed_seconds(), 0.05);
    test::expect_throw<Error>([&] { mean->start(); }, {"gave up a mean before"});
  }
  MPI_Barrier(MPI_COMM_WORLD);
  if (group_->rank() != 0) {  // who is only late finds its values
    mean->start();
    mean->wait();
    EXPECT_EQ(x, std::vector<float>(100, 1.0F));
  }
  group_->barrier();
  // As long as a wait lasts its caller is asked, and may end it.
  std::vector<float> y(100, 1.0F);
  Patience patience = 1min;
  patience.while_waiting = [] { throw Error("asked to stop"); };
  const auto ended = group_->make_mean(std::span<float>(y), patience);
  if (group_->rank() == 0) {
    ended->start();
    EXPECT_THAT([&] { ended->wait(); }, testing::ThrowsMessage<Error>("asked to stop"));
  }
  MPI_Barrier(MPI_COMM_WORLD);
  if (group_->rank() != 0) {
    ended->start();
    ended->wait();
  }
  group_->barrier();
  mean->start();  // they fit together again
  mean->wait();
}

TEST_F(ProcessGroupTest, AMeanThatWasGivenUpIsNoConcernOfThoseAfterTheNextMeeting) {
  if (group_->size() == 1) return;
  std::vector<float> x(100);
  bool gives_up = false;
  Patience patience = 1min;
  patience.while_waiting = [&] {
    if (gives_up) throw Error("asked to stop");
  };
  auto mean = group_->make_mean(std::span<float>(x), patience);
  const auto give_up_alone = [&] {
    if (group_->rank() == 0) {
      gives_up = true;
      mean->start();
      EXPECT_THAT([&] { mean->wait(); }, testing::ThrowsMessage<Error>("asked to stop"));
      gives_up = false;
    }
    group_->barrier();
  };
  const auto expect_mean = [&] {
    x.assign(100, static_cast<float>(group_->rank()));
    mean->start();
    mean->wait();
    EXPECT_EQ(x, std::vector<float>(100, 0.5F * static_cast<float>(group_->size() - 1)));
  };

  give_up_alone();
  expect_mean();  // the same one again
  give_up_alone();
  mean = group_->make_mean(std::span<float>(x), patience);  // the old one ends only now
  expect_mean();
}

TEST_F(ProcessGroupTest, AMeanThatEndsInFlightIsNoConcernOfThoseAfterTheNextMeeting) {
  if (group_->size() == 1) return;
  std::vector<float> x(100, 1.0F);
  std::vector<float> y(100, 1.0F);
  auto in_flight = group_->make_mean(std::span<float>(x), 1min);
  in_flight->start();
  if (group_->rank() == 0) {
    const auto alone = group_->make_mean(std::span<float>(y), 50ms);
    alone->start();
    EXPECT_THROW(alone->wait(), TimeoutError);
  }
  group_->barrier();
  in_flight.reset();
  const auto mean = group_->make_mean(std::span<float>(y), 1min);
  mean->start();
  mean->wait();
  EXPECT_EQ(y, std::vector<float>(100, 1.0F));
}

/// Rank `absent` comes only when the others have given up, and is told of it.
void expect_absent_named(Group& group, Rank absent) {
  const auto meet = [&] {
    const bool is_late = group.rank() == absent;  // which need not wait any more
    const CollectiveCall call("with_mean_model()", is_late ? Patience(1h) : Patience(1s), 5);
    group.barrier();
  };
  const std::string absence =
      "in with_mean_model() after 5 steps for rank " + std::to_string(absent);
  if (group.rank() == absent) {
    MPI_Barrier(MPI_COMM_WORLD);
    test::expect_throw<TimeoutError>(meet, {absence});
    return;
  }
  try {
    meet();
    ADD_FAILURE() << "rank " << absent << " did not come";
  } catch (const TimeoutError& error) {
    EXPECT_EQ(error.peer(), absent);
    EXPECT_THAT(error.what(), testing::HasSubstr(absence));
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

TEST_F(ProcessGroupTest, ARankThatDoesNotComeIsNamedAndToldAndTheGroupGoesOn) {
  if (group_->size() == 1) return;
  expect_absent_named(*group_, group_->size() - 1);
  expect_absent_named(*group_, 0);

  EXPECT_EQ(mean_of(*group_, group_->rank()), 0.5 * (group_->size() - 1));
}

/// A call that all ranks make, each after steps of its own; rank 0 comes last.
void expect_meeting(Group& group, std::string_view name, std::int64_t step) {
  if (group.rank() == 0) std::this_thread::sleep_for(100ms);
  const CollectiveCall call(name, 1min, step + group.rank());
  group.barrier();
  EXPECT_EQ(mean_of(group, group.rank()), 0.5 * (group.size() - 1));
}

TEST_F(ProcessGroupTest, ACallThatOneRankMakesAloneCostsNoOtherCall) {
  if (group_->size() == 1) return;
  std::int64_t step = 0;
  const auto give_up_alone = [&](Rank alone) {
    step += 10;
    if (group_->rank() == alone) {
      const CollectiveCall call("with_mean_model()", 1s, step);
      test::expect_throw<TimeoutError>([&] { group_->barrier(); }, {"in with_mean_model() after"});
    }
    MPI_Barrier(MPI_COMM_WORLD);  // the others come later, to other calls
  };
  const auto expect_meetings = [&] {
    step += 10;
    expect_meeting(*group_, "with_mean_model()", step);  // a later one
    expect_meeting(*group_, "consensus_distance()", step);
  };
  const Rank last = group_->size() - 1;

  give_up_alone(0);
  expect_meetings();
  give_up_alone(last);
  expect_meetings();
  give_up_alone(last);
  give_up_alone(0);
  give_up_alone(last);
  expect_meetings();
}

TEST_F(ProcessGroupTest, ARankThatStopsAsAllGoOnGoesOnWithThem) {
  if (group_->size() == 1) return;
  const bool stops = group_->rank() == group_->size() - 1;
  const auto let_others_go_on = [] {
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Barrier(MPI_COMM_WORLD);
  };
  if (stops) {
    Patience patience = 10s;
    patience.while_waiting = [&] {
      let_others_go_on();
      throw Error("asked to stop");
    };
    const CollectiveCall call("a test", patience);
    group_->barrier();
  } else {
    MPI_Barrier(MPI_COMM_WORLD);
    const CollectiveCall call("a test", 1min);
    group_->barrier();
    MPI_Barrier(MPI_COMM_WORLD);
  }
  EXPECT_EQ(mean_of(*group_, group_->rank()), 0.5 * (group_->size() - 1));
}

TEST_F(ProcessGroupTest, AWaitThatIsStoppedEndsThoseOfTheOthers) {
  if (group_->size() == 1) return;
  Patience patience = 1min;
  patience.while_waiting = [] { throw Error("asked to stop"); };
  const bool stops = group_->rank() == 0;
  const CollectiveCall call("a test", stops ? patience : Patience(1min));

  if (group_->rank() == group_->size() - 1) MPI_Barrier(MPI_COMM_WORLD);
  if (stops) {
    test::expect_throw<Error>([&] { group_->barrier(); }, {"asked to stop"});
  } else {
    test::expect_throw<TimeoutError>([&] { group_->barrier(); },
                                     {"Rank 0 did not wait any longer in a test: asked to stop"});
  }
  if (group_->rank() != group_->size() - 1) MPI_Barrier(MPI_COMM_WORLD);
  group_->barrier();
}

/// One rank waits for the missing one, one for another that waits; so few that each gets a core in
/// time.
TEST_F(ProcessGroupTest, AMeanThatTimedOutLeavesItsVectorAndNamesWhoIsMissing) {
  if (group_->size() != 3) return;
  const Rank last = group_->size() - 1;
  auto x = std::make_unique<std::vector<double>>(100'000, 2.0);
  auto mean = group_->make_mean(std::span<double>(*x), 4s);

  if (group_->rank() != last) {
    mean->start();
    test::expect_throw<TimeoutError>([&] { mean->wait(); },
                                     {"for rank " + std::to_string(last) + " in the mean over"});
    EXPECT_EQ(std::ranges::count(*x, 2.0), 100'000);
  }
  mean.reset();
  x.reset();  // MPI still has its own
  MPI_Barrier(MPI_COMM_WORLD);

  // The last rank has started one less, and yet the next means fit together.
  EXPECT_EQ(mean_of(*group_, group_->rank()), 0.5 * last);
  EXPECT_EQ(group_->all_gather("a").size(), static_cast<std::size_t>(group_->size()));
  EXPECT_EQ(group_->make_region(64)->of(group_->rank()).size(), 64U);
}

TEST_F(ProcessGroupTest, ALargestThatIsNotOverMayEnd) {
  auto largest = group_->make_largest(1);
  const std::vector<double> own{1.0 * group_->rank()};
  if (group_->rank() == 0) largest->start(own);

  largest.reset();

  largest = group_->make_largest(1);
  largest->start(own);
  EXPECT_TRUE(wait_until(Deadline(20s), [&] { return largest->test(); }));
  EXPECT_EQ(largest->numbers().front(), group_->size() - 1.0);
}

TEST_F(ProcessGroupTest, ComparesMeansWhereAskedTo) {
  if (group_->size() == 1) return;
  const auto group =
      make_process_group(mpi::Communicator::duplicate(MPI_COMM_WORLD), {.checks_means = true});
  std::vector<float> x(100, static_cast<float>(group->rank()));
  const bool is_first = group->rank() == 0;
  const auto mean = group->make_mean(std::span<float>(x), 1min);
  const auto shorter = group->make_mean(std::span<float>(x).first(is_first ? 10 : 100), 1min);
  const auto start_in = [](Mean& one, std::string_view name, std::int64_t step) {
    const CollectiveCall call(name, 1min, step, true);
    one.start();
  };

  test::expect_throw<JointError>([&] { start_in(*shorter, "step()", 3); },
                                 {"rank 0 is in step() after 3 steps (a mean of 40 bytes), rank ",
                                  " in step() after 3 steps (a mean of 400 bytes)"});
  test::expect_throw<JointError>(
      [&] { start_in(*mean, "step()", is_first ? 3 : 4); },
      {"rank 0 is in step() after 3 steps, rank ", " in step() after 4 steps"});
  const auto barrier_or_mean = [&] { is_first ? group->barrier() : start_in(*mean, "step()", 3); };
  test::expect_throw<JointError>(barrier_or_mean,
                                 {"rank 0 is in a barrier, rank ", " in step() after 3 steps"});
  start_in(*mean, "step()", 3);
  mean->wait();
  EXPECT_EQ(x.front(), static_cast<float>(0.5 * (group->size() - 1)));
}

/// A wait of one rank, to which the others come when it has lasted for eleven seconds.
class LongWait {
 public:
  /// Of a call that all ranks make.
  [[nodiscard]] Patience patience() {
    Patience result = 1h;
    result.while_waiting = [this] { let_time_pass(); };
    return result;
  }

  /// Makes `call` on all ranks, first on `first`, and returns what that one says.
  [[nodiscard]] std::string said_by(const Group& group, Rank first,
                                    const std::function<void()>& call) {
    is_first_ = group.rank() == first;
    if (!is_first_) {
      meet_others();
      MPI_Wait(&request_, MPI_STATUS_IGNORE);
      call();
      return {};
    }
    testing::internal::CaptureStderr();
    call();
    meet_others();
    MPI_Wait(&request_, MPI_STATUS_IGNORE);
    return testing::internal::GetCapturedStderr();
  }

 private:
  void let_time_pass() {
    if (!is_first_) return;
    if (++seconds_ <= 11) {
      RunningClock::skip(1s);
    } else {
      meet_others();
    }
  }
  void meet_others() {
    if (!std::exchange(has_come_, true)) MPI_Ibarrier(MPI_COMM_WORLD, &request_);
  }

  bool is_first_ = false;
  bool has_come_ = false;
  int seconds_ = 0;
  MPI_Request request_ = MPI_REQUEST_NULL;
};

/// "rank 1" or "ranks 1, 2": all but the first.
std::string others_than_first(int size) {
  std::string text = size == 2 ? "rank 1" : "ranks 1";
  for (Rank rank = 2; rank < size; ++rank) text += ", " + std::to_string(rank);
  return text;
}

TEST_F(ProcessGroupTest, ARankThatWaitsForLongInACollectiveCallSaysForWhom) {
  if (group_->size() == 1) return;
  const std::string where = " to come to a test (1";
  for (const Rank first : {0, group_->size() - 1}) {
    LongWait wait;
    const std::string said = wait.said_by(*group_, first, [&] {
      const CollectiveCall call("a test", wait.patience());
      group_->barrier();
    });
    if (group_->rank() != first) continue;
    const std::string whom = first == 0 ? others_than_first(group_->size()) : "rank 0";
    EXPECT_THAT(said, testing::HasSubstr("waiting for " + whom + where));
    EXPECT_EQ(said.find("waiting for"), said.rfind("waiting for")) << said;
  }
}

TEST_F(ProcessGroupTest, ARankThatWaitsForLongForAMeanSaysForWhom) {
  if (group_->size() == 1) return;
  LongWait wait;
  std::vector<float> x(100, static_cast<float>(group_->rank()));
  const auto mean = group_->make_mean(std::span<float>(x), wait.patience());
  const std::string said = wait.said_by(*group_, 0, [&] {
    const CollectiveCall call("a test", wait.patience());
    mean->start();  // where means are checked the ranks meet here
    mean->wait();
  });
  EXPECT_EQ(x, std::vector<float>(100, 0.5F * static_cast<float>(group_->size() - 1)));
  if (group_->rank() != 0) return;
  const std::string whom = "waiting for " + others_than_first(group_->size());
  EXPECT_THAT(said, testing::AnyOf(testing::HasSubstr(whom + " in the mean over all ranks (1"),
                                   testing::HasSubstr(whom + " to come to a test (1")));
  EXPECT_EQ(said.find("waiting for"), said.rfind("waiting for")) << said;
}

}  // namespace
}  // namespace gossip::transport
