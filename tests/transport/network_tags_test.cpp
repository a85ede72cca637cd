// SPDX-License-Identifier: Apache-2.0
// The tags that channels between hosts take of MPI's.
#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/base/error.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/operations.h>
#include <libgossip/transport/message/message_mover.h>
#include <libgossip/transport/network_channel.h>

#include "support/expect_throw.h"

namespace gossip::transport {
namespace {

using message::MessageMover;

constexpr std::chrono::seconds kLong{30};
constexpr int kTagsOfAChannel = 1024;

mpi::Communicator duplicate() { return mpi::Communicator::duplicate(MPI_COMM_WORLD); }

/// Remembers the largest tag.
class TagMover final : public PayloadMover {
 public:
  explicit TagMover(int& largest) : largest_(largest) {}

  [[nodiscard]] std::string_view name() const override { return inner_.name(); }
  [[nodiscard]] std::unique_ptr<SlotMemory> make_slots(int count, std::size_t capacity,
                                                       const NetworkMembers& members) override {
    return inner_.make_slots(count, capacity, members);
  }
  void expect(Rank from, const Filling& filling) override {
    largest_ = std::max(largest_, filling.tag);
    inner_.expect(from, filling);
  }
  void put(Rank to, std::span<const std::byte> payload, const Filling& filling) override {
    largest_ = std::max(largest_, filling.tag);
    inner_.put(to, payload, filling);
  }
  void poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) override {
    inner_.poll(arrived, sent);
  }
  [[nodiscard]] bool is_busy() const override { return inner_.is_busy(); }
  void leave() noexcept override { inner_.leave(); }

 private:
  MessageMover inner_{duplicate(), std::size_t{1} << 16U};
  int& largest_;
};

TEST(NetworkTags, AreThoseOfTheChannelsThatLiveAtTheSameTime) {
  const mpi::Communicator world = duplicate();
  int largest = 0;
  Background background;
  Network network(duplicate(), std::make_unique<TagMover>(largest), background);
  std::vector<Rank> others;
  for (Rank rank = 0; rank < world.size(); ++rank) {
    if (rank != world.rank()) others.push_back(rank);
  }
  const ChannelOptions options{
      .capacity_bytes = 100, .timeout = kLong, .receive_slots = std::max(world.size() - 1, 1)};
  const auto swap_messages = [&](Channel& channel) {
    std::ignore = channel.acquire(others);
    channel.commit({.bytes = 100});
    for (const Rank from : others) EXPECT_EQ(channel.next(from).header().bytes, 100U);
  };

  auto first = network.make_channel(options, others);
  for (int k = 0; k < 20; ++k) {
    const auto second = network.make_channel(options, others);
    swap_messages(*second);
    swap_messages(*first);
    if (k % 2 == 0) first = network.make_channel(options, others);
  }

  EXPECT_LT(largest, 3 * kTagsOfAChannel);
}

TEST(NetworkTags, MoreChannelsThanMpiHasTagsForAreRefused) {
  EXPECT_GE(mpi::largest_tag(), 32767);
  NetworkChannel::check_lane(31, 32767);
  test::expect_throw<Error>([] { NetworkChannel::check_lane(32, 32767); },
                            {"32 channels between hosts", "32767", "fewer optimizers"});
  NetworkChannel::check_lane(510, (1 << 19) - 1);
  test::expect_throw<Error>([] { NetworkChannel::check_lane(512, (1 << 19) - 1); }, {"512"});
}

}  // namespace
}  // namespace gossip::transport
