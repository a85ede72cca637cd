// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <limits>
#include <memory>
#include <sys/mman.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/transport/memory_channel.h>

#include "support/expect_throw.h"

namespace gossip::transport {
namespace {

constexpr std::size_t kMost = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());

/// Addresses of one rank; pages that nobody touches take no memory.
class ReservedRegion final : public Region {
 public:
  explicit ReservedRegion(std::size_t bytes)
      : bytes_(bytes),
        start_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {}
  ~ReservedRegion() override { munmap(start_, bytes_); }

  [[nodiscard]] std::span<std::byte> of(Rank /*rank*/) const override {
    return {static_cast<std::byte*>(start_), bytes_};
  }

 private:
  std::size_t bytes_;
  void* start_;
};

std::unique_ptr<MemoryChannel> channel_of_one(const ChannelOptions& options) {
  return std::make_unique<MemoryChannel>(
      std::make_unique<ReservedRegion>(MemoryChannel::region_bytes(options, 1)), 0, 1,
      std::vector<Rank>{0}, options);
}

TEST(MemoryChannel, BytesGrowWithTheRanksByTheirWordsOnly) {
  const ChannelOptions options{.capacity_bytes = 46137344, .slots = 2};

  const std::size_t four = MemoryChannel::region_bytes(options, 4);
  const std::size_t sixty_four = MemoryChannel::region_bytes(options, 64);

  EXPECT_EQ(four, 4 * 128 + 2 * (128 + 46137344));
  EXPECT_EQ(sixty_four, 64 * 128 + 2 * (128 + 46137344));
}

TEST(MemoryChannel, SlotsAreWholeCacheLines) {
  const auto slot_bytes = [](std::size_t capacity) {
    return MemoryChannel::region_bytes({.capacity_bytes = capacity, .slots = 1}, 1) - 128;
  };

  EXPECT_EQ(slot_bytes(0), 128U);
  EXPECT_EQ(slot_bytes(1), 192U);
  EXPECT_EQ(slot_bytes(64), 192U);
  EXPECT_EQ(slot_bytes(65), 256U);
}

TEST(MemoryChannel, BytesAreRightBeyondTwoToTheThirtyFirst) {
  constexpr std::size_t kCapacity = (std::size_t{1} << 33U) + 1;

  EXPECT_EQ(MemoryChannel::region_bytes({.capacity_bytes = kCapacity, .slots = 3}, 2),
            2 * 128 + 3 * (128 + (std::size_t{1} << 33U) + 64));
}

TEST(MemoryChannel, BytesAreRefusedBeforeTheyOverflow) {
  const auto bytes = [](std::size_t capacity, int slots) {
    return MemoryChannel::region_bytes({.capacity_bytes = capacity, .slots = slots}, 64);
  };

  EXPECT_LE(bytes(kMost / 2 - 8192, 2), kMost);
  EXPECT_LE(bytes(kMost - 16384, 1), kMost);
  EXPECT_THROW(bytes(kMost / 2, 2), Error);
  EXPECT_THROW(bytes(kMost, 1), Error);
  EXPECT_THROW(bytes(2 * kMost + 1, 1), Error);
  EXPECT_THROW(bytes(2 * kMost + 1, 14), Error);
  EXPECT_THROW(bytes(kMost / 14, 14), Error);
}

TEST(MemoryChannel, SlotsBeyondTwoToTheThirtyFirstBytesLieBehindOneAnother) {
  constexpr std::size_t kCapacity = (std::size_t{1} << 32U) + 65;
  constexpr std::size_t kStride = 128 + (std::size_t{1} << 32U) + 128;
  const ChannelOptions options{.capacity_bytes = kCapacity, .slots = 3};
  auto region = std::make_unique<ReservedRegion>(MemoryChannel::region_bytes(options, 1));
  const std::span<std::byte> all = region->of(0);
  MemoryChannel channel(std::move(region), 0, 1, {0}, options);

  for (std::size_t k = 0; k < 3; ++k) {
    const std::span<std::byte> slot = channel.acquire(std::vector{0});
    EXPECT_EQ(slot.data() - all.data(), static_cast<std::ptrdiff_t>(128 + k * kStride + 128));
    EXPECT_EQ(slot.size(), kCapacity);
    EXPECT_LE(slot.data() + slot.size(), all.data() + all.size());
    slot.back() = static_cast<std::byte>(k + 1);
    channel.commit({.bytes = kCapacity});
  }

  for (std::size_t k = 0; k < 3; ++k) {
    const Message message = channel.next(0);
    EXPECT_EQ(message.payload().size(), kCapacity);
    EXPECT_EQ(message.payload().back(), static_cast<std::byte>(k + 1));
  }
}

TEST(MemoryChannel, AMessageToNobodyTakesNoSlot) {
  const auto channel = channel_of_one({.capacity_bytes = 8, .slots = 1});

  for (int k = 0; k < 3; ++k) {
    std::ignore = channel->acquire({});
    channel->commit({.bytes = 8});
  }

  EXPECT_FALSE(channel->try_next(0));
}

TEST(MemoryChannel, AReceiverNamedTwiceGetsOneMessage) {
  const auto channel = channel_of_one({.capacity_bytes = 8, .slots = 1});

  std::ignore = channel->acquire(std::vector{0, 0});
  channel->commit({.bytes = 8});

  EXPECT_TRUE(channel->try_next(0));
  EXPECT_FALSE(channel->try_next(0));
  EXPECT_NO_THROW(std::ignore = channel->acquire(std::vector{0}));
}

TEST(MemoryChannel, AHeaderOfAnotherLayoutIsRefused) {
  const auto channel = channel_of_one({.slots = 2});
  const auto newest = channel_of_one({.slots = 2, .reading = Reading::kLatest});
  const auto send = [](Channel& to, const Header& header) {
    std::ignore = to.acquire(std::vector{0});
    to.commit(header);
  };

  send(*channel, {.version = 2});
  for (int look = 0; look < 2; ++look) {
    test::expect_throw<Error>([&] { std::ignore = channel->try_next(0); },
                              {"Rank 0 ", "version 2,", "reads version 1"});
  }
  send(*newest, {.magic = 0x50545448});
  test::expect_throw<Error>([&] { std::ignore = newest->latest(0); },
                            {"Rank 0 ", "0x50545448", "0x31505347"});
  send(*newest, {.round = 1});
  EXPECT_EQ(newest->latest(0)->header().round, 1);
}

TEST(MemoryChannelDeathTest, MisuseTerminates) {
  const auto channel = channel_of_one({.capacity_bytes = 8, .slots = 2});
  const auto newest =
      channel_of_one({.capacity_bytes = 8, .slots = 2, .reading = Reading::kLatest});

  EXPECT_DEATH(channel->commit({}), "before a slot was acquired");
  EXPECT_DEATH(std::ignore = channel->latest(0), "made for next");
  EXPECT_DEATH(std::ignore = newest->try_next(0), "made for latest");

  std::ignore = channel->acquire(std::vector{0});
  EXPECT_DEATH(std::ignore = channel->acquire(std::vector{0}), "was acquired and never committed");
  EXPECT_DEATH(channel->commit({.bytes = 9}), "a message of 9 bytes in a slot of 8");

  channel->commit({.bytes = 8});
  std::ignore = channel->acquire(std::vector{0});
  channel->commit({.bytes = 8});
  const Message held = channel->next(0);
  EXPECT_DEATH(std::ignore = channel->next(0), "previous message of rank 0 is still being read");
}

}  // namespace
}  // namespace gossip::transport
