// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/base/collective_call.h>
#include <libgossip/base/error.h>
#include <libgossip/mpi/launcher.h>
#include <libgossip/runtime/session.h>

#include "support/expect_throw.h"

namespace gossip {
namespace {

int size_of_world() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

int rank_in_world() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

class SessionTest : public testing::Test {
 protected:
  int argc_ = 0;
  char** argv_ = nullptr;
};

TEST_F(SessionTest, HoldsAllProcessesOfTheJob) {
  const Session session(argc_, argv_);
  EXPECT_EQ(session.size(), size_of_world());
  EXPECT_EQ(session.rank(), rank_in_world());
  EXPECT_EQ(session.device(), "cpu");
}

TEST_F(SessionTest, KnowsItsPlaceOnTheHostAsMpiDoes) {
  MPI_Comm host = MPI_COMM_NULL;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
  int rank = -1;
  int size = 0;
  MPI_Comm_rank(host, &rank);
  MPI_Comm_size(host, &size);
  MPI_Comm_free(&host);

  const Session session(argc_, argv_);

  EXPECT_EQ(session.local_rank(), rank);
  EXPECT_EQ(session.local_size(), size);
}

TEST_F(SessionTest, HasTheGroupOfItsHostAndThatOfItsCounterpartsOnOthers) {
  Session session(argc_, argv_);
  const auto same_place = [&] {  // by rank, ascending: the hosts' order
    std::vector<Rank> ranks;
    const std::vector<int> places = session.world().all_gather(session.local_rank());
    for (Rank rank = 0; rank < session.size(); ++rank) {
      if (places[static_cast<std::size_t>(rank)] == session.local_rank()) ranks.push_back(rank);
    }
    return ranks;
  };
  for (const auto* way : {"first", "after use_transport()"}) {
    SCOPED_TRACE(way);
    transport::Group& host = session.host();
    EXPECT_EQ(host.rank(), session.local_rank());
    EXPECT_EQ(host.size(), session.local_size());
    EXPECT_TRUE(transport::is_one_host(host));
    transport::Group& counterparts = session.counterparts();
    EXPECT_EQ(counterparts.all_gather(session.rank()), same_place());
    EXPECT_EQ(&session.host(), &host);
    EXPECT_EQ(&session.counterparts(), &counterparts);
    EXPECT_EQ(&counterparts.background(), &session.world().background());
    EXPECT_EQ(&host.background(), &session.world().background());
    session.use_transport({.kind = transport::TransportKind::kMessage});
  }
}

/// On three emulated hosts, of which the last has fewer ranks.
TEST_F(SessionTest, HasCounterpartsOnHostsOfUnequalSize) {
  Session session(argc_, argv_);
  if (session.size() < 3 || session.local_size() < session.size()) return;
  session.use_transport({.ranks_per_memory = 2});
  const Rank place = session.rank() % 2;
  std::vector<Rank> expected;
  for (Rank rank = place; rank < session.size(); rank += 2) expected.push_back(rank);

  EXPECT_EQ(session.host().size(), std::min(2, session.size() - session.rank() + place));
  EXPECT_EQ(session.host().rank(), place);
  EXPECT_EQ(session.counterparts().all_gather(session.rank()), expected);
  for (Rank rank = 0; rank < session.counterparts().size(); ++rank) {
    EXPECT_EQ(session.counterparts().shares_memory_with(rank),
              rank == session.counterparts().rank());
  }
}

TEST_F(SessionTest, IsToldByTheLauncherWhatMpiKnows) {
  const mpi::LaunchedBy launched = mpi::launched_by();
  const Session session(argc_, argv_);

  EXPECT_NE(launched.launcher, "");
  EXPECT_EQ(launched.size, session.size());
  EXPECT_EQ(launched.rank, session.rank());
  EXPECT_EQ(launched.local_rank, session.local_rank());
  EXPECT_EQ(launched.local_size, session.local_size());
}

TEST_F(SessionTest, MovesBytesAsItIsTold) {
  Session session(argc_, argv_);
  session.use_transport({.kind = transport::TransportKind::kMessage, .ranks_per_memory = 1});
  if (session.size() == 1) return;
  const auto channel = session.world().make_channel({.capacity_bytes = 8});
  EXPECT_EQ(session.world().transport(), "message");
  EXPECT_FALSE(session.world().shares_memory_with((session.rank() + 1) % session.size()));
}

TEST_F(SessionTest, ARankThatChangesTheTransportAloneIsToldAndGoesOn) {
  Session session(argc_, argv_);
  if (session.size() == 1) return;
  if (session.rank() == 0) {
    const CollectiveCall call("a test", std::chrono::seconds(1));
    test::expect_throw<TimeoutError>([&] { session.use_transport({}); },
                                     {"Rank 0 waited ", " in a test for rank"});
  }
  MPI_Barrier(MPI_COMM_WORLD);
  const auto use_or_meet = [&] {
    session.rank() == 0 ? session.use_transport({}) : session.world().barrier();
  };
  test::expect_throw<JointError>(use_or_meet,
                                 {"rank 0 is in use_transport(), rank ", "in a barrier"});
  EXPECT_NO_THROW(session.use_transport({}));
}

TEST_F(SessionTest, StandsForItsWorld) {
  const Session session(argc_, argv_);
  transport::Group& group = session;
  EXPECT_EQ(&group, &session.world());
  EXPECT_DOUBLE_EQ(transport::mean_of(session, session.rank()), (session.size() - 1) / 2.0);
}

TEST_F(SessionTest, LeavesMPIToTheApplicationThatStartedIt) {
  { const Session session(argc_, argv_); }
  const Session again(argc_, argv_);
  int is_finalized = 1;
  MPI_Finalized(&is_finalized);
  EXPECT_EQ(is_finalized, 0);
  EXPECT_EQ(again.size(), size_of_world());
}

TEST_F(SessionTest, KeepsTheThreadsThatTheUserAsksFor) {
  ASSERT_STREQ(std::getenv("OMP_NUM_THREADS"), "1") << "tests run with one";
  setenv("OMP_NUM_THREADS", "5,2", 1);  // OpenMP's list of levels
  EXPECT_EQ(Session(argc_, argv_).threads(), 5);
  EXPECT_STREQ(std::getenv("OMP_NUM_THREADS"), "5,2");
  setenv("OMP_NUM_THREADS", "1", 1);
  EXPECT_EQ(Session(argc_, argv_).threads(), 1);
}

}  // namespace
}  // namespace gossip
