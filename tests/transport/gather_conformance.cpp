// SPDX-License-Identifier: Apache-2.0
// How the ranks of a group tell each other small things. See on_ranks.h.
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/transport/group.h>

#include "support/expect_throw.h"
#include "transport/on_ranks.h"

namespace gossip::transport {
namespace {

using test::on_ranks;

class GatherTest : public testing::TestWithParam<int> {};

TEST_P(GatherTest, GathersTextsOfAnyLength) {
  on_ranks(GetParam(), [](Group& group) {
    const auto text_of = [](Rank rank) {
      return std::string(static_cast<std::size_t>(rank) * 501, static_cast<char>('a' + rank));
    };

    const std::vector<std::string> texts = group.all_gather(text_of(group.rank()));

    for (Rank rank = 0; rank < group.size(); ++rank) {
      EXPECT_EQ(texts.at(static_cast<std::size_t>(rank)), text_of(rank));
    }
  });
}

TEST_P(GatherTest, GathersValuesByteByByte) {
  on_ranks(GetParam(), [](Group& group) {
    struct Told {
      std::int64_t steps;
      float rate;
      bool is_done;
    };
    const auto of = [](Rank rank) {
      return Told{std::numeric_limits<std::int64_t>::min() + rank, 0.1F * static_cast<float>(rank),
                  rank % 2 == 1};
    };

    const std::vector<Told> all = group.all_gather(of(group.rank()));

    ASSERT_EQ(all.size(), static_cast<std::size_t>(group.size()));
    for (Rank rank = 0; rank < group.size(); ++rank) {
      const Told& told = all[static_cast<std::size_t>(rank)];
      EXPECT_EQ(told.steps, of(rank).steps);
      EXPECT_EQ(told.rate, of(rank).rate);
      EXPECT_EQ(told.is_done, of(rank).is_done);
    }
  });
}

TEST_P(GatherTest, GathersListsOfAnyLength) {
  on_ranks(GetParam(), [](Group& group) {
    const auto of = [](Rank rank) {
      return std::vector<double>(static_cast<std::size_t>(rank) * 3, 1.0 / (rank + 1));
    };

    const std::vector<std::vector<double>> all = group.all_gather(of(group.rank()));

    ASSERT_EQ(all.size(), static_cast<std::size_t>(group.size()));
    for (Rank rank = 0; rank < group.size(); ++rank) {
      EXPECT_EQ(all[static_cast<std::size_t>(rank)], of(rank));
    }
  });
}

TEST_P(GatherTest, ReducesAFewNumbersToTheSameBitsOnAllRanks) {
  on_ranks(GetParam(), [](Group& group) {
    const auto of = [](Rank rank) { return 1.0 / (3 + rank); };
    double expected = 0.0;
    for (Rank rank = 0; rank < group.size(); ++rank) expected += of(rank);

    EXPECT_EQ(group.all_reduce(of(group.rank()), Reduction::kSum), expected);
    EXPECT_EQ(group.all_reduce(of(group.rank()), Reduction::kMax), of(0));
    EXPECT_EQ(group.all_reduce(of(group.rank()), Reduction::kMin), of(group.size() - 1));
    std::vector<std::int64_t> numbers{group.rank(), -group.rank()};
    group.all_reduce(std::span(numbers), Reduction::kMax);
    EXPECT_THAT(numbers, testing::ElementsAre(group.size() - 1, 0));
    group.all_reduce(std::span<double>(), Reduction::kSum);
  });
}

TEST_P(GatherTest, RanksThatGatherDifferentTypesAllSaySo) {
  if (GetParam() == 1) return;
  on_ranks(GetParam(), [](Group& group) {
    const Rank last = group.size() - 1;
    test::expect_throw<JointError>(
        [&] {
          if (group.rank() == last) {
            static_cast<void>(group.all_gather(std::int64_t{1}));
          } else {
            static_cast<void>(group.all_gather(std::int32_t{1}));
          }
        },
        {fmt::format("rank 0 is in a gather of 4 bytes, rank {} in a gather of 8 bytes.", last)});
    EXPECT_EQ(group.all_gather(1).size(), static_cast<std::size_t>(group.size()));
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, GatherTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::transport
