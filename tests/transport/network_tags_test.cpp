// SPDX-License-Identifier: Apache-2.0
// The tags that channels between hosts take of MPI's, and how such channels end.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
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
#include "support/said.h"

namespace gossip::transport {
namespace {

using message::MessageMover;

constexpr std::chrono::seconds kLong{30};
constexpr int kTagsOfAChannel = 1024;

mpi::Communicator duplicate() { return mpi::Communicator::duplicate(MPI_COMM_WORLD); }

class PassingMover : public PayloadMover {
 public:
  [[nodiscard]] std::string_view name() const override { return inner_.name(); }
  [[nodiscard]] std::unique_ptr<SlotMemory> make_slots(int count, std::size_t capacity,
                                                       const NetworkMembers& members) override {
    return inner_.make_slots(count, capacity, members);
  }
  void expect(Rank from, const Filling& filling) override { inner_.expect(from, filling); }
  void put(Rank to, std::span<const std::byte> payload, const Filling& filling) override {
    inner_.put(to, payload, filling);
  }
  void poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) override {
    inner_.poll(arrived, sent);
  }
  [[nodiscard]] bool is_busy() const override { return inner_.is_busy(); }
  void leave() noexcept override { inner_.leave(); }

 private:
  MessageMover inner_{duplicate(), std::size_t{1} << 16U};
};

/// Remembers the largest tag.
class TagMover final : public PassingMover {
 public:
  explicit TagMover(int& largest) : largest_(largest) {}

  void expect(Rank from, const Filling& filling) override {
    largest_ = std::max(largest_, filling.tag);
    PassingMover::expect(from, filling);
  }
  void put(Rank to, std::span<const std::byte> payload, const Filling& filling) override {
    largest_ = std::max(largest_, filling.tag);
    PassingMover::put(to, payload, filling);
  }

 private:
  int& largest_;
};

/// Does not tell what it has sent, as long as `holds()`.
class HoldingMover final : public PassingMover {
 public:
  explicit HoldingMover(std::function<bool()> holds) : holds_(std::move(holds)) {}

  void poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) override {
    PassingMover::poll(arrived, sent_);
    if (sent_.empty() || holds_()) return;
    sent.insert(sent.end(), sent_.begin(), sent_.end());
    sent_.clear();
  }
  [[nodiscard]] bool is_busy() const override { return !sent_.empty() || PassingMover::is_busy(); }

 private:
  std::function<bool()> holds_;
  std::vector<std::uint64_t> sent_;
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

/// On no more ranks than it takes, as it lasts ten seconds.
TEST(NetworkEnd, ARankThatWaitsForLongSaysWhoseMessagesAreInFlight) {
  const mpi::Communicator world = duplicate();
  if (world.size() != 2) return;
  const std::vector<Rank> other{1 - world.rank()};
  const test::Said said;
  const auto notices = [&] {
    const std::string text = said.text();
    const std::string notice = "waiting for the messages to and from rank 1 in flight at the end";
    const std::size_t first = text.find(notice);
    return first == std::string::npos                          ? 0
           : text.find(notice, first + 1) == std::string::npos ? 1
                                                               : 2;
  };
  Background background;
  Network network(duplicate(), std::make_unique<HoldingMover>([&] {
                    return world.rank() == 0 && notices() == 0;
                  }),
                  background);
  {
    const auto channel =
        network.make_channel({.capacity_bytes = 100, .timeout = kLong, .receive_slots = 1}, other);
    std::ignore = channel->acquire(other);
    channel->commit({.bytes = 100});
    EXPECT_EQ(channel->next(other.front()).header().bytes, 100U);
  }
  EXPECT_EQ(notices(), world.rank() == 0 ? 1 : 0) << said.text();
}

}  // namespace
}  // namespace gossip::transport
