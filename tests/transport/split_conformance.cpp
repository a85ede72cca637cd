// SPDX-License-Identifier: Apache-2.0
// What groups do that were split from another one. See on_ranks.h.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/transport/background.h>
#include <libgossip/transport/group.h>

#include "support/expect_throw.h"
#include "transport/on_ranks.h"

namespace gossip::transport {
namespace {

using test::on_ranks;

class SplitTest : public testing::TestWithParam<int> {};

/// A message from each rank to each, and the mean and the values of all.
void expect_to_work(Group& group, std::string_view where) {
  SCOPED_TRACE(where);
  const auto channel = group.make_channel(
      {.capacity_bytes = sizeof(Rank), .slots = 2, .receive_slots = group.size()});
  std::vector<Rank> others;
  for (Rank rank = 0; rank < group.size(); ++rank) {
    if (rank != group.rank()) others.push_back(rank);
  }
  const Rank own = group.rank();
  if (!others.empty()) {
    std::memcpy(channel->acquire(others).data(), &own, sizeof(own));
    channel->commit({.bytes = sizeof(own)});
  }
  for (const Rank from : others) {
    const Message message = channel->next(from);
    Rank told = -1;
    std::memcpy(&told, message.payload().data(), sizeof(told));
    EXPECT_EQ(told, from);
    EXPECT_EQ(message.from(), from);
  }
  EXPECT_DOUBLE_EQ(mean_of(group, own), (group.size() - 1) / 2.0);
  std::vector<double> large(100'003, own);
  average_(group, std::span<double>(large));
  EXPECT_DOUBLE_EQ(large.back(), (group.size() - 1) / 2.0);
  const std::vector<Rank> ranks = group.all_gather(own);
  EXPECT_EQ(ranks.size(), static_cast<std::size_t>(group.size()));
  EXPECT_EQ(ranks.back(), group.size() - 1);
}

TEST_P(SplitTest, SplitsByColorInTheOrderOfTheKeys) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank rank = group.rank();

    const auto backwards = group.split(rank % 2, -rank);
    const auto together = group.split(7, 0);
    const auto alone = group.split(rank, 3);

    std::vector<Rank> expected;
    for (Rank other = group.size() - 1; other >= 0; --other) {
      if (other % 2 == rank % 2) expected.push_back(other);
    }
    EXPECT_EQ(backwards->all_gather(rank), expected);
    EXPECT_EQ(expected[static_cast<std::size_t>(backwards->rank())], rank);
    EXPECT_EQ(together->rank(), rank);
    EXPECT_EQ(together->size(), group.size());
    EXPECT_EQ(alone->size(), 1);
    for (Rank other = 0; other < group.size(); ++other) {
      EXPECT_EQ(together->shares_memory_with(other), group.shares_memory_with(other));
    }
  });
}

TEST_P(SplitTest, GroupsThatWereSplitWorkBesideEachOtherOnOneThread) {
  on_ranks(GetParam(), [](Group& group) {
    const auto half = group.split(group.rank() % 2, group.rank());
    const auto other_half = group.split(2 * group.rank() / group.size(), -group.rank());
    const auto quarter = half->split(half->rank() % 2, 0);

    for (Group* one : {&group, half.get(), other_half.get(), quarter.get()}) {
      EXPECT_EQ(&one->background(), &group.background());
    }
    const auto in_half = half->make_channel({.capacity_bytes = 64, .slots = 2});
    const auto in_all = group.make_channel({.capacity_bytes = 64, .slots = 2});
    expect_to_work(*quarter, "quarter");
    expect_to_work(*half, "half");
    expect_to_work(group, "all");
    expect_to_work(*other_half, "other half");
  });
}

TEST_P(SplitTest, GroupsThatWereSplitEndInAnyOrder) {
  on_ranks(GetParam(), [](Group& group) {
    auto parent = group.split(0, 0);
    auto child = parent->split(parent->rank() % 2, 0);
    auto grandchild = child->split(child->rank() % 2, 0);
    auto sibling = parent->split(0, -parent->rank());

    expect_to_work(*parent, "parent");
    parent.reset();
    expect_to_work(*grandchild, "grandchild");
    sibling.reset();
    expect_to_work(*child, "child");
    child.reset();
    expect_to_work(*grandchild, "grandchild again");
    grandchild.reset();
    expect_to_work(group, "all");
  });
}

TEST_P(SplitTest, AColorBelowZeroIsRefusedOnAllRanks) {
  on_ranks(GetParam(), [](Group& group) {
    const bool is_last = group.rank() == group.size() - 1;
    test::expect_throw<JointError>([&] { static_cast<void>(group.split(is_last ? -1 : 0, 0)); },
                                   {"by the color -1: it must be at least 0."});
    EXPECT_EQ(group.split(0, 0)->size(), group.size());
  });
}

/// Of this process.
int communication_threads() {
  int count = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::ifstream(thread.path() / "comm") >> name;
    count += name == "communication" ? 1 : 0;
  }
  return count;
}

TEST_P(SplitTest, AProcessHasOneCommunicationThreadForThreeGroups) {
  on_ranks(GetParam(), [](Group& group) {
    const int ranks_here = group.transport() == "local" ? group.size() : 1;  // in this process
    const auto half = group.split(group.rank() % 2, 0);
    const auto other_half = group.split(2 * group.rank() / group.size(), 0);
    std::array<std::atomic<bool>, 3> are_looked_at{};
    std::vector<std::unique_ptr<Background::Work>> work;
    for (Group* one : {&group, half.get(), other_half.get()}) {
      std::atomic<bool>& is_looked_at = are_looked_at[work.size()];
      work.push_back(one->background().add(
          [&is_looked_at] {
            is_looked_at = true;
            return Activity::kIdle;
          },
          [](const std::exception_ptr&) {}));
    }

    // Threads of groups that have ended may still be seen for a moment.
    EXPECT_TRUE(wait_until(Deadline(std::chrono::seconds(20)), [&] {
      return std::ranges::all_of(are_looked_at, [](const auto& one) { return one.load(); }) &&
             communication_threads() == ranks_here;
    })) << communication_threads();
    group.barrier();
  });
}

TEST_P(SplitTest, GroupsThatWereSplitTwiceAndTheOnesAcrossEndInAnyOrder) {
  on_ranks(GetParam(), [](Group& group) {
    std::array<std::size_t, 3> order{0, 1, 2};
    do {
      std::array<std::unique_ptr<Group>, 3> groups;
      groups[0] = group.split(group.rank() / 2, 0);
      groups[1] = groups[0]->split(0, -group.rank());
      groups[2] = group.split(group.rank() % 2, 0);
      for (const std::size_t ending : order) {
        groups[ending].reset();
        for (const std::unique_ptr<Group>& rest : groups) {
          if (!rest) continue;
          EXPECT_EQ(rest->all_gather(rest->rank()).back(), rest->size() - 1);
          EXPECT_DOUBLE_EQ(mean_of(*rest, rest->rank()), (rest->size() - 1) / 2.0);
        }
      }
    } while (std::ranges::next_permutation(order).found);
    EXPECT_DOUBLE_EQ(mean_of(group, group.rank()), (group.size() - 1) / 2.0);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, SplitTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::transport
