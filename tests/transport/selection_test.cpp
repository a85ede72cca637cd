// SPDX-License-Identifier: Apache-2.0
// Which way payloads go: what is asked for, what works, what is faster.
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/transport/process_group.h>
#include <libgossip/transport/selection.h>

#include "transport/channel_test_support.h"

namespace gossip::transport {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;

bool is_on_hosts() { return std::getenv("GOSSIP_TEST_HOSTS") != nullptr; }

/// Open MPI 4.1 has no one-sided communication over TCP.
constexpr bool puts_need_one_host() {
#if defined(OMPI_MAJOR_VERSION)
  return OMPI_MAJOR_VERSION < 5;
#else
  return false;
#endif
}

/// Several memories also where all ranks run on one machine.
std::unique_ptr<Group> make_group(TransportKind kind) {
  return make_process_group(mpi::Communicator::duplicate(MPI_COMM_WORLD),
                            {.kind = kind, .ranks_per_memory = 1});
}

void exchange(Group& group, std::size_t bytes) {
  const auto channel = group.make_channel(
      {.capacity_bytes = bytes, .timeout = kLong, .receive_slots = group.size()});
  std::vector<Rank> others = all_ranks(group);
  std::erase(others, group.rank());
  for (int round = 0; round < 3; ++round) {
    send(group, *channel, others, round, bytes);
    for (const Rank from : others) EXPECT_TRUE(is_whole(channel->next(from), bytes));
  }
  group.barrier();
}

std::string joint_error(const std::function<void()>& call) {
  try {
    call();
  } catch (const JointError& error) {
    return error.what();
  }
  return {};
}

TEST(Selection, TakesWhatWorks) {
  const auto group = make_group(TransportKind::kAuto);
  const Clock::time_point start = Clock::now();
  std::ignore = group->make_channel({.capacity_bytes = 8});
  const double seconds = seconds_between(start, Clock::now());

  if (is_on_hosts() && puts_need_one_host()) {
    EXPECT_EQ(group->transport(), "message");
  } else {
    EXPECT_THAT(std::string(group->transport()), AnyOf("message", "rma"));
  }
  const std::vector<std::string> all = group->all_gather(group->transport());
  for (const std::string& other : all) EXPECT_EQ(other, all[0]);
  exchange(*group, 100001);
  if (group->rank() == 0) std::printf("chosen in %.3f s: %s\n", seconds, all[0].c_str());
}

TEST(Selection, TakesMessagesWhereTheyAreAskedFor) {
  const auto group = make_group(TransportKind::kMessage);

  exchange(*group, 100001);

  EXPECT_EQ(group->transport(), "message");
}

TEST(Selection, TakesPutsWhereTheyAreAskedForOrSaysWhyNotOnAllRanks) {
  const auto group = make_group(TransportKind::kRma);

  const std::string error = joint_error([&] { exchange(*group, 100001); });

  if (is_on_hosts() && puts_need_one_host()) {
    EXPECT_THAT(error,
                AllOf(StartsWith("The transport 'rma' was asked for, but its self-test failed"),
                      HasSubstr("MPI_Win_allocate"), HasSubstr("MPI_ERR_WIN"),
                      HasSubstr("GOSSIP_TRANSPORT=message"), HasSubstr("Open MPI 5")));
  } else {
    EXPECT_EQ(error, "");
    EXPECT_EQ(group->transport(), "rma");
  }
  group->barrier();  // nobody is left behind
}

TEST(Selection, SharedMemoryIsRefusedBetweenHosts) {
  const std::string error = joint_error([] { std::ignore = make_group(TransportKind::kShared); });

  EXPECT_THAT(error, HasSubstr("The transport 'shared' was asked for, but"));
  if (is_on_hosts()) {
    EXPECT_THAT(error, AllOf(HasSubstr("rank 0 runs on host host1"), HasSubstr("on host host2")));
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

TEST(Selection, RanksThatWantDifferentThingsAreTold) {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const auto error_with = [&](const TransportOptions& options) {
    return joint_error([&] {
      std::ignore =
          make_process_group(mpi::Communicator::duplicate(MPI_COMM_WORLD),
                             rank == 0 ? TransportOptions{.ranks_per_memory = 1} : options);
    });
  };

  EXPECT_THAT(error_with({.kind = TransportKind::kMessage, .ranks_per_memory = 1}),
              AllOf(HasSubstr("The ranks disagree on the transport"), HasSubstr("transport auto"),
                    HasSubstr("transport message")));
  EXPECT_THAT(error_with({.ranks_per_memory = 2}), HasSubstr("rank 1 has"));
  EXPECT_THAT(error_with({.piece_bytes = 5, .ranks_per_memory = 1}), HasSubstr("5 bytes"));
  EXPECT_EQ(error_with({.ranks_per_memory = 1}), "");
}

TEST(Selection, TheSelfTestFindsNoFaultAndTakesShort) {
  const mpi::Communicator world = mpi::Communicator::duplicate(MPI_COMM_WORLD);
  std::vector<Rank> peers;
  for (Rank rank = 0; rank < world.size(); ++rank) {
    if (rank != world.rank()) peers.push_back(rank);
  }
  Background background;
  for (const std::size_t piece_bytes : {std::size_t{1} << 20U, std::size_t{1000}}) {
    const auto network = make_network(world, TransportKind::kMessage, piece_bytes, background);

    const TestResult result = test_network(world, *network, peers);
    const TestResult alone = test_network(world, *network, {});

    EXPECT_EQ(result.error, "");
    EXPECT_GT(result.seconds, 0.0);
    EXPECT_EQ(alone.error, "");
  }
}

}  // namespace
}  // namespace gossip::transport
