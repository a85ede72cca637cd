// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/mpi/exchange.h>

namespace gossip::mpi {
namespace {

/// What rank `from` has for `to`: nothing for itself and for every third one.
std::uint64_t number(Rank from, Rank to) {
  return from == to || (from + to) % 3 == 0 ? 0 : static_cast<std::uint64_t>(1000 * from + to);
}

TEST(Exchange, GivesTheNumbersThatTheOthersHaveForThisRank) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  std::vector<std::uint64_t> own;
  std::vector<std::uint64_t> expected;
  for (Rank rank = 0; rank < world.size(); ++rank) {
    own.push_back(number(world.rank(), rank));
    expected.push_back(number(rank, world.rank()));
  }
  EXPECT_EQ(exchange_numbers(world, own), expected);
}

TEST(Exchange, OfNothingIsNothing) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  const std::vector<std::uint64_t> nothing(static_cast<std::size_t>(world.size()), 0);
  EXPECT_EQ(exchange_numbers(world, nothing), nothing);
}

}  // namespace
}  // namespace gossip::mpi
