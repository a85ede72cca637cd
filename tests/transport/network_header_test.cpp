// SPDX-License-Identifier: Apache-2.0
// Headers of another version, from another host.
#include <chrono>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/base/alone.h>
#include <libgossip/base/error.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/transport/message/message_mover.h>
#include <libgossip/transport/network_channel.h>

#include "support/expect_throw.h"

namespace gossip::transport {
namespace {

mpi::Communicator duplicate() { return mpi::Communicator::duplicate(MPI_COMM_WORLD); }

TEST(NetworkHeader, OfAnotherVersionIsRefusedByAllWhomItReaches) {
  const gossip::detail::EndsAlone alone;  // after such an error no channel is closed in order
  const mpi::Communicator world = duplicate();
  Background background;
  Network network(duplicate(),
                  std::make_unique<message::MessageMover>(duplicate(), std::size_t{1} << 16U),
                  background);
  std::vector<Rank> others(static_cast<std::size_t>(world.size()));
  std::iota(others.begin(), others.end(), 0);
  std::erase(others, world.rank());
  const auto channel = network.make_channel({.timeout = std::chrono::seconds(30)}, others);

  if (world.rank() == 0) {
    std::ignore = channel->acquire(others);
    channel->commit({.version = 7});
  } else {
    test::expect_throw<Error>([&] { std::ignore = channel->next(0); },
                              {"Rank 0 ", "version 7,", "reads version 1"});
    test::expect_throw<Error>([&] { std::ignore = channel->try_next(0); }, {"version 7,"});
  }

  world.barrier();
}

}  // namespace
}  // namespace gossip::transport
