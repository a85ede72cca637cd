// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>

#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/mpi/abandoned.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/request.h>

namespace gossip::mpi {
namespace {

using namespace std::chrono_literals;

class RequestsTest : public testing::Test {
 protected:
  /// Starts to receive one number from this rank itself.
  void receive(int& value, int tag, Requests& requests) {
    MPI_Irecv(&value, 1, MPI_INT, comm_.rank(), tag, comm_.get(), requests.add());
  }
  void send(int value, int tag) { MPI_Send(&value, 1, MPI_INT, comm_.rank(), tag, comm_.get()); }

  const Communicator comm_ = Communicator::duplicate(MPI_COMM_WORLD);
};

TEST_F(RequestsTest, OfNothingAreFinished) {
  Requests requests;

  EXPECT_TRUE(requests.test());
  EXPECT_TRUE(requests.wait(Deadline(0ms)));
}

TEST_F(RequestsTest, AreFinishedWhenAllAre) {
  int first = 0;
  int second = 0;
  Requests requests;
  receive(first, 1, requests);
  receive(second, 2, requests);

  EXPECT_FALSE(requests.test());
  send(10, 1);
  EXPECT_FALSE(requests.wait(Deadline(20ms)));
  send(20, 2);
  EXPECT_TRUE(requests.wait(Deadline(20s)));

  EXPECT_EQ(first, 10);
  EXPECT_EQ(second, 20);
}

TEST_F(RequestsTest, CanBeUsedAgain) {
  Requests requests;
  for (int round = 0; round < 3; ++round) {
    int value = -1;
    receive(value, round, requests);
    send(round, round);
    EXPECT_TRUE(requests.wait(Deadline(20s)));
    EXPECT_EQ(value, round);
  }
}

TEST_F(RequestsTest, MoveTakesTheOperations) {
  int value = 0;
  Requests first;
  receive(value, 1, first);

  Requests second = std::move(first);
  Requests third;
  third = std::move(second);

  EXPECT_TRUE(first.test());   // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(second.test());  // NOLINT(bugprone-use-after-move)
  EXPECT_FALSE(third.test());
  send(5, 1);
  EXPECT_TRUE(third.wait(Deadline(20s)));
  EXPECT_EQ(value, 5);
}

TEST_F(RequestsTest, AbandonedOnesAreForgotten) {
  static int value = 0;  // MPI may still use it
  Requests requests;
  receive(value, 77, requests);

  EXPECT_FALSE(requests.wait(Deadline(1ms)));
  requests.abandon();

  EXPECT_TRUE(requests.test());
  send(1, 77);
  EXPECT_TRUE(finish_abandoned(Deadline(20s)));
}

TEST_F(RequestsTest, KeepBuffersUntilMpiIsDoneWithThem) {
  auto value = std::make_shared<int>(0);
  const std::weak_ptr<int> seen = value;
  const auto receive_into_kept = [&](int tag) {
    Requests requests;
    MPI_Irecv(value.get(), 1, MPI_INT, comm_.rank(), tag, comm_.get(), requests.add(value));
    return requests;
  };
  {
    Requests finished = receive_into_kept(1);
    Requests assigned = receive_into_kept(2);
    const Requests destroyed = receive_into_kept(3);
    value.reset();
    send(10, 1);
    EXPECT_TRUE(finished.wait(Deadline(20s)));
    assigned = std::move(finished);
  }

  EXPECT_FALSE(finish_abandoned(Deadline(1ms)));
  EXPECT_FALSE(seen.expired());
  send(20, 2);
  EXPECT_FALSE(finish_abandoned(Deadline(20ms)));
  EXPECT_FALSE(seen.expired());
  send(30, 3);
  EXPECT_TRUE(finish_abandoned(Deadline(20s)));
  EXPECT_TRUE(seen.expired());
}

TEST_F(RequestsTest, ThatCouldNotBeStartedAreNotUnfinished) {
  int value = 0;
  Requests requests;

  const int code = MPI_Irecv(&value, 1, MPI_INT, comm_.size() + 1, 1, comm_.get(), requests.add());

  EXPECT_NE(code, MPI_SUCCESS);
}

}  // namespace
}  // namespace gossip::mpi
