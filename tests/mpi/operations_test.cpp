// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/mpi/operations.h>

namespace gossip::mpi {
namespace {

constexpr std::chrono::seconds kLong{30};

class OperationsTest : public testing::Test {
 protected:
  [[nodiscard]] Rank right() const { return (world_.rank() + 1) % world_.size(); }
  [[nodiscard]] Rank left() const { return (world_.rank() + world_.size() - 1) % world_.size(); }

  /// The numbers in the order in which they finished.
  static std::vector<std::uint64_t> finish(Operations& operations) {
    std::vector<std::uint64_t> finished;
    EXPECT_TRUE(wait_until(Deadline(kLong), [&] {
      operations.poll(finished);
      return operations.empty();
    }));
    return finished;
  }

  const Communicator world_ = Communicator::duplicate(MPI_COMM_WORLD);
};

TEST_F(OperationsTest, NothingFinishesWhereNothingWasStarted) {
  Operations operations;
  std::vector<std::uint64_t> finished = {7};

  operations.poll(finished);

  EXPECT_TRUE(operations.empty());
  EXPECT_EQ(finished, std::vector<std::uint64_t>{7});
}

TEST_F(OperationsTest, PiecesWithOneTagArriveInTheirOrder) {
  constexpr std::size_t kPieces = 100;
  constexpr std::size_t kBytes = 3000;
  std::vector<std::byte> out(kPieces * kBytes);
  std::vector<std::byte> in(out.size());
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = static_cast<std::byte>(k / kBytes + k);
  Operations sends;
  Operations receives;

  for (std::size_t k = 0; k < kPieces; ++k) {
    receives.receive(world_, std::span(in).subspan(k * kBytes, kBytes), left(), 5, k);
  }
  for (std::size_t k = 0; k < kPieces; ++k) {
    sends.send(world_, std::span(out).subspan(k * kBytes, kBytes), right(), 5, k);
  }
  std::vector<std::uint64_t> sent = finish(sends);
  std::vector<std::uint64_t> received = finish(receives);

  EXPECT_EQ(in, out);
  std::ranges::sort(sent);
  std::ranges::sort(received);
  for (std::size_t k = 0; k < kPieces; ++k) {
    EXPECT_EQ(sent.at(k), k);
    EXPECT_EQ(received.at(k), k);
  }
  world_.barrier();
}

TEST_F(OperationsTest, TheOnesThatAreNotFinishedStay) {
  Operations receives;
  Operations sends;
  std::vector<std::byte> in(4);
  std::vector<std::byte> out(4, std::byte{9});
  for (int k = 0; k < 4; ++k) {
    receives.receive(world_, std::span(in).subspan(static_cast<std::size_t>(k), 1), left(), k,
                     static_cast<std::uint64_t>(10 + k));
  }
  std::vector<std::uint64_t> finished;
  receives.poll(finished);
  EXPECT_TRUE(finished.empty());
  world_.barrier();

  for (const int k : {2, 0, 3, 1}) {
    sends.send(world_, std::span(out).subspan(static_cast<std::size_t>(k), 1), right(), k, 0);
    std::vector<std::uint64_t> next;
    EXPECT_TRUE(wait_until(Deadline(kLong), [&] {
      receives.poll(next);
      return !next.empty();
    }));
    EXPECT_EQ(next, std::vector<std::uint64_t>{static_cast<std::uint64_t>(10 + k)});
    world_.barrier();
  }

  EXPECT_TRUE(receives.empty());
  std::ignore = finish(sends);
  EXPECT_EQ(in, out);
}

TEST_F(OperationsTest, ASynchronousSendWaitsForItsReceiver) {
  Operations sends;
  Operations receives;
  std::vector<std::uint64_t> finished;
  sends.send_synchronously(world_, {}, right(), 1, 4);
  for (int k = 0; k < 100; ++k) sends.poll(finished);
  EXPECT_TRUE(finished.empty());
  world_.barrier();

  receives.receive(world_, {}, left(), 1, 5);

  const bool is_done = wait_until(Deadline(kLong), [&] {
    sends.poll(finished);
    receives.poll(finished);
    return finished.size() == 2;
  });
  EXPECT_TRUE(is_done);
  EXPECT_TRUE(sends.empty());
  world_.barrier();
}

TEST_F(OperationsTest, ErrorsOfMpiAreExceptions) {
  Operations operations;
  std::vector<std::byte> bytes(1);

  EXPECT_THROW(operations.send(world_, bytes, world_.size(), 0, 1), MpiError);
  EXPECT_THROW(operations.receive(world_, bytes, world_.size(), 0, 1), MpiError);
  world_.barrier();
}

}  // namespace
}  // namespace gossip::mpi
