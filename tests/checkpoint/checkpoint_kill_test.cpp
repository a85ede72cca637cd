// SPDX-License-Identifier: Apache-2.0
// A process that writes sets all the time is killed at random moments.
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/random.h>
#include <libgossip/checkpoint/checkpoint_folder.h>
#include <libgossip/checkpoint/checkpoint_set.h>

#include "support/temporary_folder.h"

namespace gossip::checkpoint {
namespace {

constexpr int kRanks = 2;
constexpr std::size_t kNumbers = 20000;

/// What the tensor of a rank holds in the set of a step.
std::vector<std::byte> data_of(std::int64_t step, Rank rank) {
  std::vector<std::int64_t> numbers(kNumbers);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = step * 1000 + rank + static_cast<std::int64_t>(i);
  }
  std::vector<std::byte> bytes(numbers.size() * sizeof(std::int64_t));
  std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

void write_set(const std::filesystem::path& folder, const CheckpointFolder& taken,
               std::int64_t step) {
  const std::filesystem::path set = folder / set_name(step);
  for (Rank rank = 0; rank < kRanks; ++rank) {
    std::vector<TensorInfo> tensors{
        {.name = "x", .dtype = "I64", .shape = {static_cast<std::int64_t>(kNumbers)}}};
    place(tensors);
    write_rank(set,
               {.run = taken.run(), .step = step, .ranks = kRanks, .rank = rank, .steps = step},
               tensors, data_of(step, rank));
  }
  write_manifest(set, taken.run(), step, kRanks);
  taken.keep_newest(2);
}

/// Goes on from the newest set, as a resumed run does, until it is killed; tells of each set that
/// it begins by a byte in `begun`.
[[noreturn]] void write_sets(const std::filesystem::path& folder, int begun) {
  try {
    const CheckpointFolder taken(folder);
    const std::vector<std::int64_t> sets = complete_sets(folder);
    taken.remove_incomplete();
    for (std::int64_t step = sets.empty() ? 1 : sets.back() + 1;; ++step) {
      if (write(begun, "", 1) != 1) break;
      write_set(folder, taken, step);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  _exit(1);
}

/// How long a set takes on this disk, in microseconds.
std::uint64_t microseconds_of_a_set(const std::filesystem::path& folder) {
  constexpr std::int64_t kSets = 5;
  const CheckpointFolder taken(folder);
  const Clock::time_point begin = Clock::now();
  for (std::int64_t step = 1; step <= kSets; ++step) write_set(folder, taken, step);
  return static_cast<std::uint64_t>(1e6 * seconds_between(begin, Clock::now()) / kSets) + 1;
}

TEST(CheckpointKill, NeverLeavesAStateThatCannotBeResumed) {
  constexpr int kKills = 50;
  const test::TemporaryFolder temporary;
  const std::filesystem::path folder = temporary.path() / "sets";
  const std::uint64_t time_of_a_set = microseconds_of_a_set(temporary.path() / "timed");
  SplitMix64 random = SplitMix64::at(11, 0);
  std::int64_t newest = 0;
  int kills_with_news = 0;
  for (int kill_number = 0; kill_number < kKills; ++kill_number) {
    std::array<int, 2> begun{};
    ASSERT_EQ(pipe(begun.data()), 0);
    const pid_t child = fork();
    if (child == 0) write_sets(folder, begun[1]);
    close(begun[1]);
    // Somewhere in one of the next sets, however fast the disk is at the moment.
    char byte = 0;
    for (std::uint64_t set = random.below(6); read(begun[0], &byte, 1) == 1 && set > 0;) --set;
    std::this_thread::sleep_for(
        std::chrono::microseconds(static_cast<std::int64_t>(random.below(time_of_a_set))));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    close(begun[0]);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer could not go on after kill " << kill_number;

    const std::vector<std::int64_t> sets = complete_sets(folder);
    if (sets.empty()) {
      ASSERT_EQ(newest, 0) << "a complete set is gone";
      continue;
    }
    ASSERT_GE(sets.back(), newest) << "a complete set is gone";
    kills_with_news += sets.back() == newest ? 0 : 1;
    newest = sets.back();
    for (const std::int64_t step : sets) {
      const std::filesystem::path set = folder / set_name(step);
      const Manifest manifest = read_manifest(set);
      for (Rank rank = 0; rank < kRanks; ++rank) {
        const RankRecord record = read_record(set, manifest, rank);
        std::vector<std::byte> memory(record.tensor_bytes);
        const SafetensorsContents contents = read_tensors(set, record, memory);
        const std::vector<std::byte> expected = data_of(step, rank);
        EXPECT_TRUE(std::ranges::equal(contents.data, expected)) << set << " rank " << rank;
        EXPECT_EQ(record.steps, step);
      }
    }
  }
  EXPECT_GT(kills_with_news, kKills / 4) << "the kills came too early to test anything";
}

}  // namespace
}  // namespace gossip::checkpoint
