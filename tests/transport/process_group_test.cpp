// SPDX-License-Identifier: Apache-2.0
// What only groups of processes have.
#include <chrono>
#include <fstream>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/transport/process_group.h>

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
  EXPECT_EQ(channel->memory_bytes(), 2 * (4 * kMiB + 64) + size * 128);
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
  }
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

  // The others come after all, so that MPI can end.
  if (group_->rank() != 0) {
    mean->start();
    mean->wait();
    ended->start();
    ended->wait();
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

}  // namespace
}  // namespace gossip::transport
