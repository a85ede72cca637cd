// SPDX-License-Identifier: Apache-2.0
// Whose turn it is in next_any(), and what happens in a wait of many calls.
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/transport/channel.h>

#include "support/expect_throw.h"

namespace gossip::transport {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

/// A receiver to which so many messages have come.
class Arrived final : public Channel {
 public:
  explicit Arrived(std::map<Rank, int> messages, std::function<void()> while_waiting = {})
      : Channel({.while_waiting = std::move(while_waiting)}, 0), messages_(std::move(messages)) {}

  void commit(const Header& /*header*/) override {}
  [[nodiscard]] std::optional<Message> try_next(Rank from) override {
    if (messages_[from] == 0) return std::nullopt;
    --messages_[from];
    return Message(*this, from, 0, {}, {});
  }
  [[nodiscard]] std::optional<Message> latest(Rank /*from*/) override { return std::nullopt; }
  [[nodiscard]] std::optional<std::span<std::byte>> try_acquire(std::span<const Rank> /*to*/,
                                                                Rank& /*blocking*/) override {
    return std::nullopt;
  }
  [[nodiscard]] std::size_t memory_bytes() const override { return 0; }

 private:
  void release(Rank /*from*/, int /*slot*/) noexcept override {}

  std::map<Rank, int> messages_;
};

/// The sender of the next message of these ranks; -1: none is there.
Rank next_of(Channel& channel, const std::vector<Rank>& ranks) {
  const std::optional<Message> message = channel.next_any(ranks, Deadline(0ms));
  return message ? message->from() : -1;
}

TEST(NextAny, GivesOneOfEachInTurn) {
  Arrived channel({{1, 3}, {4, 1}, {6, 2}});
  std::vector<Rank> given;

  for (int k = 0; k < 7; ++k) given.push_back(next_of(channel, {1, 4, 6}));

  EXPECT_THAT(given, ElementsAre(1, 4, 6, 1, 6, 1, -1));
}

TEST(NextAny, AFloodWaitsForEachOther) {
  constexpr int kFlood = 1000;
  Arrived channel({{0, kFlood}, {3, 2}});

  EXPECT_EQ(next_of(channel, {0, 3}), 0);
  EXPECT_EQ(next_of(channel, {0, 3}), 3);
  EXPECT_EQ(next_of(channel, {0, 3}), 0);
  EXPECT_EQ(next_of(channel, {0, 3}), 3);
  EXPECT_EQ(next_of(channel, {0, 3}), 0);
  EXPECT_EQ(next_of(channel, {0, 3}), 0);
}

/// Of a rank whose message is still being read none is asked for.
TEST(NextAny, ATurnGoesOnWhereItWasAmongOtherRanks) {
  Arrived channel({{0, 9}, {1, 9}, {2, 9}});

  EXPECT_EQ(next_of(channel, {0, 1, 2}), 0);
  EXPECT_EQ(next_of(channel, {1, 2}), 1);
  EXPECT_EQ(next_of(channel, {0, 2}), 2);
  EXPECT_EQ(next_of(channel, {1}), 1);
  EXPECT_EQ(next_of(channel, {0, 1}), 0);
}

TEST(NextAny, CallsWhileWaitingInAWaitOfShortCalls) {
  int calls = 0;
  Arrived channel({}, [&] { ++calls; });
  const Deadline deadline(30s);

  while (calls < 3 && !deadline.has_passed()) {
    EXPECT_FALSE(channel.next_any(std::vector{1, 2}, deadline, 10ms));
  }

  EXPECT_EQ(calls, 3);
  EXPECT_GE(deadline.elapsed_seconds(), 0.3);
}

TEST(NextAny, SaysOnceForWhomItWaits) {
  Arrived channel({});
  const Deadline deadline(10'400ms, RunningClock::now() - 9900ms);

  testing::internal::CaptureStderr();
  while (!deadline.has_passed()) {
    EXPECT_FALSE(channel.next_any(std::vector{1, 2}, deadline, 1s));
  }

  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("waiting for the next message of one of ranks 1, 2 (10 s of at most 10 s)"),
            std::string::npos)
      << said;
  EXPECT_EQ(said.find("waiting"), said.rfind("waiting")) << said;
}

TEST(NextAny, RefusesRanksOutOfOrder) {
  Arrived channel({{1, 1}, {2, 1}});

  test::expect_throw<Error>([&] { next_of(channel, {2, 1}); }, {"ascending order", "'2, 1'"});
  test::expect_throw<Error>([&] { next_of(channel, {}); }, {"at least one, not ''"});
  EXPECT_EQ(next_of(channel, {1, 2}), 1);
}

TEST(NextAny, NamesWhoIsLateAsNextDoes) {
  const Arrived channel({});

  const TimeoutError error = channel.lateness_of(7);

  EXPECT_EQ(error.peer(), 7);
  EXPECT_STREQ(error.what(),
               "Rank 7 did not send its next message within 300000 ms: it has ended, hangs, or "
               "needs a longer timeout.");
}

}  // namespace
}  // namespace gossip::transport
