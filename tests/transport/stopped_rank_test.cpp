// SPDX-License-Identifier: Apache-2.0
// The last rank is stopped by a signal, in the middle of all kinds of traffic, until the others are
// through.
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/transport/group.h>

#include "support/temporary_folder.h"
#include "transport/channel_test_support.h"
#include "transport/on_ranks.h"

namespace gossip::transport {
namespace {

using test::on_ranks;

constexpr int kMostStoppedSeconds = 80;
constexpr int kRounds = 20;
constexpr std::size_t kBytes = (std::size_t{3} << 19U) + 17;
constexpr std::size_t kSmallBytes = 4096;

/// Stops this process, with all its threads; another one wakes it up again when there are that many
/// files in the folder, or after a while.
void stop_until(const std::filesystem::path& folder, std::size_t files) {
  const std::string alarm = fmt::format(
      "bash -c 'for ((i = 0; i < {}; ++i)); do [[ $(ls \"{}\" | wc -l) -ge {} ]] && break; "
      "sleep 0.1; done; kill -CONT {}' >/dev/null 2>&1 &",
      10 * kMostStoppedSeconds, folder.string(), files, getpid());
  EXPECT_EQ(std::system(alarm.c_str()), 0);
  EXPECT_EQ(std::raise(SIGSTOP), 0);
  const auto there = std::distance(std::filesystem::directory_iterator(folder), {});
  EXPECT_EQ(there, static_cast<std::ptrdiff_t>(files)) << "others are held up by the stop";
}

/// In MPICH a flush waits for the puts to all ranks of its window: whoever has some under way to
/// the stopped rank when it stops waits for it.
bool flushes_wait_for_all([[maybe_unused]] const Group& group) {
#ifdef MPICH_VERSION
  return group.transport().find("rma") != std::string_view::npos;
#else
  return false;
#endif
}

class StoppedRank : public testing::TestWithParam<int> {};

TEST_P(StoppedRank, HoldsUpNobodyElseAndIsNamed) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank last = group.size() - 1;
    std::vector<Rank> active = all_ranks(group);
    std::erase(active, last);
    std::erase(active, group.rank());
    const auto rounds = group.make_channel({.capacity_bytes = kSmallBytes,
                                            .slots = 2,
                                            .timeout = kLong,
                                            .receive_slots = group.size()});
    const auto newest = group.make_channel(
        {.capacity_bytes = kBytes, .slots = 3, .reading = Reading::kLatest, .timeout = kLong});
    const auto mail = group.make_channel({.capacity_bytes = kBytes,
                                          .slots = 2,
                                          .timeout = std::chrono::milliseconds(300),
                                          .receive_slots = 2 * group.size(),
                                          .has_rounds = false});
    std::optional<test::TemporaryFolder> temporary;
    if (group.rank() == 0) temporary.emplace();
    const std::filesystem::path through =
        group.all_gather(temporary ? temporary->path().string() : "").front();
    send(group, *newest, {}, 0, kBytes);
    int mailed = 0;
    if (flushes_wait_for_all(group)) {
      for (const Rank from : latest_senders(group)) EXPECT_TRUE(latest_of(*newest, from, 0));
      group.barrier();
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
    } else if (group.rank() != last) {
      send(group, *mail, {last}, mailed++, kBytes);
    }
    group.barrier();

    if (group.rank() == last) {
      stop_until(through, active.size());
    } else {
      int wrong = 0;
      for (int round = 1; round <= kRounds; ++round) {
        send(group, *newest, {}, round, kBytes);
        send(group, *rounds, active, round, kSmallBytes);
        for (const Rank from : active) {
          const Message message = rounds->next(from);
          wrong += message.header().round != round || !is_whole(message, kSmallBytes) ? 1 : 0;
          const std::optional<Message> other = newest->latest(from);
          wrong += other && !is_whole(*other, kBytes) ? 1 : 0;
        }
      }
      EXPECT_EQ(wrong, 0);
      const auto [error, seconds] = timed([&] {
        for (;; ++mailed) send(group, *mail, {last}, mailed, kBytes);
      });
      EXPECT_TRUE(error && error->peer() == last);
      test::write_file(through / std::to_string(group.rank()), "");
    }
    const std::vector<std::string> counts = group.all_gather(std::to_string(mailed));

    if (group.rank() == last) {
      for (const Rank from : active) {
        for (int k = 0; k < std::stoi(counts[static_cast<std::size_t>(from)]); ++k) {
          std::optional<Message> message;
          EXPECT_TRUE(wait_until(Deadline(kLong), [&] {
            message = mail->try_next(from);
            return message.has_value();
          }));
          EXPECT_TRUE(message && message->header().round == k && is_whole(*message, kBytes));
        }
      }
    }
    group.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, StoppedRank, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::transport
