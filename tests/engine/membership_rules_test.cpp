// SPDX-License-Identifier: Apache-2.0
// The rules of membership, as pure functions of times and numbers.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/random.h>
#include <libgossip/policy/silence.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/schedule.h>
#include <libgossip/transport/edges_in_use.h>
#include <libgossip/transport/header.h>
#include <libgossip/transport/progress_report.h>

namespace gossip::engine {
namespace {

using policy::Silence;
using std::chrono::milliseconds;
using transport::most_report_bytes;
using transport::Progress;
using transport::read_report;
using transport::report_interval;
using transport::ReportedEdge;
using transport::write_report;

Silence::Time at(double seconds) {
  return Silence::Time(
      std::chrono::duration_cast<RunningClock::duration>(std::chrono::duration<double>(seconds)));
}

TEST(SilenceTest, ARankIsSuspectedAfterTwoSecondsWhenItIsHeardOfRegularly) {
  Silence silence(at(0.0));
  for (int beat = 1; beat <= 100; ++beat) silence.hear(at(0.02 * beat));

  EXPECT_EQ(silence.limit_seconds(), 2.0);
  EXPECT_FALSE(silence.is_suspicious(at(3.9)));
  EXPECT_TRUE(silence.is_suspicious(at(4.1)));
}

TEST(SilenceTest, TheLimitIsFourOfTheLongestRecentGapsButThirtySecondsAtMost) {
  Silence silence(at(0.0));
  silence.hear(at(1.5));
  EXPECT_DOUBLE_EQ(silence.limit_seconds(), 6.0);
  silence.hear(at(1.6));  // a shorter gap does not shorten it at once
  EXPECT_NEAR(silence.limit_seconds(), 6.0 * std::exp2(-0.1 / 28.0), 1e-12);
  silence.hear(at(11.6));
  EXPECT_EQ(silence.limit_seconds(), 30.0);
}

TEST(SilenceTest, ALongGapIsForgottenByHalfIn28Seconds) {
  Silence silence(at(0.0));
  silence.hear(at(2.0));
  for (int beat = 1; beat <= 1400; ++beat) silence.hear(at(2.0 + 0.02 * beat));
  EXPECT_NEAR(silence.limit_seconds(), 4.0, 1e-9);
}

TEST(SilenceTest, WhileNothingIsExpectedOfARankItIsNotSilent) {
  Silence silence(at(0.0));
  silence.restart(at(100.0));
  EXPECT_EQ(silence.seconds(at(101.0)), 1.0);
  EXPECT_EQ(silence.limit_seconds(), 2.0);
}

std::vector<std::byte> written(Progress progress, std::span<const ReportedEdge> edges) {
  std::vector<std::byte> bytes(most_report_bytes(static_cast<int>(progress.steps.size()), 8));
  bytes.resize(write_report(progress, edges, bytes));
  return bytes;
}

TEST(ProgressReportTest, IsReadAsItWasWritten) {
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  Progress progress(4);
  progress.steps = {0, 127, 128, kLargest};
  progress.turns = {4, 5, 4, 4};
  progress.turns_alone = {2, 2, 2, 2};
  const std::array edges{ReportedEdge{.neighbor = 1, .taken = 300, .is_given_up = false},
                         ReportedEdge{.neighbor = 2},
                         ReportedEdge{.neighbor = 3, .taken = 0, .is_given_up = true}};

  const std::vector<std::byte> bytes = written(progress, edges);
  Progress read(4);
  const auto to_1 = read_report(bytes, 1, read);
  ASSERT_TRUE(to_1);
  EXPECT_EQ(to_1->taken, 300);
  EXPECT_FALSE(to_1->is_given_up);
  EXPECT_EQ(read.steps, progress.steps);
  EXPECT_EQ(read.turns, progress.turns);
  EXPECT_EQ(read.turns_alone, progress.turns_alone);
  EXPECT_TRUE(read_report(bytes, 3, read)->is_given_up);
  EXPECT_EQ(read_report(bytes, 2, read)->taken, 0);
}

TEST(ProgressReportTest, BytesThatAreNoReportAreRefused) {
  Progress progress(3);
  progress.steps = {7, 900, 7};
  const std::array edges{ReportedEdge{.neighbor = 1, .taken = 3}};
  const std::vector<std::byte> bytes = written(progress, edges);
  Progress read(3);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(read_report(std::span(bytes).first(length), 0, read)) << length;
  }
  std::vector<std::byte> longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(read_report(longer, 0, read));

  auto random = SplitMix64::at(5, 0);  // nothing worse than a refusal may come of any bytes
  for (int trial = 0; trial < 20'000; ++trial) {
    std::vector<std::byte> changed = bytes;
    for (int change = 0; change < 3; ++change) {
      changed[random.below(changed.size())] = static_cast<std::byte>(random.below(256));
    }
    static_cast<void>(read_report(changed, 0, read));
  }
}

/// What membership sends on an edge in a second, with headers, when all ranks are at steps of their
/// own.
double bytes_per_second(int ranks) {
  Progress progress(ranks);
  auto random = SplitMix64::at(1, 0);
  for (std::int64_t& steps : progress.steps) {
    steps = 1'000'000 + static_cast<std::int64_t>(random.below(5000));
  }
  const std::size_t bytes = written(progress, {}).size() + sizeof(transport::Header);
  return static_cast<double>(bytes) / std::chrono::duration<double>(report_interval(ranks)).count();
}

TEST(ProgressReportTest, TakesFiveKilobytesASecondAt64RanksAndFiftyAt1000) {
  EXPECT_LE(bytes_per_second(64), 5'000.0);
  EXPECT_LE(bytes_per_second(1000), 50'000.0);
}

topology::Graph ring_with_chords() {
  std::vector<topology::Arc> edges;
  for (Rank rank = 0; rank < 8; ++rank) {
    edges.push_back({rank, (rank + 1) % 8});
    if (rank < 4) edges.push_back({rank, rank + 4});
  }
  return topology::Graph::undirected(8, edges, "ring with chords");
}

/// Eight ranks, each of which suspects a neighbor now and then, and stops to: a thousand rounds.
/// `weight` of an edge by the two headers. Returns how far the mean drifts.
template <class Weight>
double drift_of_the_mean(const Weight& weight, bool is_agreed) {
  constexpr int kRanks = 8;
  const topology::Schedule schedule = ring_with_chords();
  std::array<topology::Neighborhood, kRanks> hoods;
  for (Rank rank = 0; rank < kRanks; ++rank) {
    schedule.neighborhood(0, rank, hoods[static_cast<std::size_t>(rank)]);
  }
  std::array<std::array<bool, kRanks>, kRanks> suspects{};
  std::array<std::uint16_t, kRanks> degrees{};
  std::array<double, kRanks> x{};
  std::iota(x.begin(), x.end(), 0.0);
  auto random = SplitMix64::at(11, 0);
  for (int round = 0; round < 1000; ++round) {
    std::array<transport::Header, kRanks> headers;
    for (std::size_t i = 0; i < kRanks; ++i) {
      for (const topology::Neighbor& neighbor : hoods[i].in) {
        bool& suspect = suspects[i][static_cast<std::size_t>(neighbor.rank)];
        if (random.unit() < 0.02) suspect = !suspect;
      }
      headers[i].uses = transport::edges_in_use(
          hoods[i].in, [&](Rank rank) { return !suspects[i][static_cast<std::size_t>(rank)]; });
      headers[i].degree = degrees[i];
    }
    std::array<double, kRanks> next = x;
    for (std::size_t i = 0; i < kRanks; ++i) {
      degrees[i] = 0;
      for (const topology::Neighbor& neighbor : hoods[i].in) {
        const auto j = static_cast<std::size_t>(neighbor.rank);
        const bool is_own = transport::is_in_use(headers[i].uses, hoods[i].in, neighbor.rank);
        const bool is_theirs =
            transport::is_in_use(headers[j].uses, hoods[j].in, static_cast<Rank>(i));
        if (!is_own || (is_agreed && !is_theirs)) continue;
        ++degrees[i];
        next[i] += weight(headers[i], headers[j], neighbor) * (x[j] - x[i]);
      }
    }
    x = next;
  }
  return std::abs(std::reduce(x.begin(), x.end()) / kRanks - 3.5) / 7.0;
}

TEST(EdgesInUseTest, TheMeanIsKeptWhenBothEndsSayThatTheyUseAnEdge) {
  const auto fixed = [](const auto&, const auto&, const topology::Neighbor& neighbor) {
    return neighbor.weight;
  };
  const auto by_degrees = [](const transport::Header& one, const transport::Header& other,
                             const topology::Neighbor&) {
    return transport::metropolis_weight(one.degree, other.degree);
  };
  EXPECT_LT(drift_of_the_mean(fixed, true), 1e-14);
  EXPECT_LT(drift_of_the_mean(by_degrees, true), 1e-14);
  EXPECT_GT(drift_of_the_mean(fixed, false), 1e-4);  // by each rank's own view
}

TEST(EdgesInUseTest, AHeaderNamesTheFirst64Neighbors) {
  std::vector<topology::Neighbor> neighbors;
  for (Rank rank = 0; rank < 70; ++rank) neighbors.push_back({.rank = 2 * rank, .weight = 0.01});
  const std::uint64_t all = transport::edges_in_use(neighbors, [](Rank) { return true; });
  EXPECT_EQ(all, std::numeric_limits<std::uint64_t>::max());
  EXPECT_TRUE(transport::is_in_use(all, neighbors, 126));
  EXPECT_FALSE(transport::is_in_use(all, neighbors, 128));
  EXPECT_FALSE(transport::is_in_use(all, neighbors, 3));  // no neighbor
  EXPECT_EQ(transport::edges_in_use(neighbors, [](Rank rank) { return rank == 4; }), 4U);
}

}  // namespace
}  // namespace gossip::engine
