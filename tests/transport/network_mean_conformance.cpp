// SPDX-License-Identifier: Apache-2.0
// What the means between ranks that do not all share memory have to do besides. See on_ranks.h.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/transport/group.h>

#include "support/expect_throw.h"
#include "transport/on_ranks.h"

namespace gossip::transport {
namespace {

using namespace std::chrono_literals;
using test::on_ranks;

constexpr std::chrono::seconds kLong{30};

class NetworkMeanTest : public testing::TestWithParam<int> {};

/// The rank, in every element.
std::vector<float> own_numbers(const Group& group, std::size_t size) {
  return std::vector<float>(size, static_cast<float>(group.rank()));
}

TEST_P(NetworkMeanTest, AMeanThatWasGivenUpKeepsNobodyFromItsEnd) {
  on_ranks(GetParam(), [](Group& group) {
    const float middle = static_cast<float>(group.size() - 1) / 2.0F;
    constexpr std::size_t kSize = 200'000;
    const bool is_early = group.rank() == 0;
    const auto channel = group.make_channel({.capacity_bytes = 1});
    std::vector<float> next = own_numbers(group, kSize);
    const auto next_mean = group.make_mean(std::span<float>(next), kLong);
    std::vector<float> x = own_numbers(group, kSize);
    const auto mean = group.make_mean(std::span<float>(x), is_early ? Patience(50ms) : kLong);
    if (group.size() == 1) return;

    if (is_early) {
      mean->start();
      EXPECT_THROW(mean->wait(), TimeoutError);
      std::ranges::fill(x, -1.0F);  // nobody takes these
      test::expect_throw<Error>([&] { next_mean->start(); }, {"gave up a mean before"});
      std::vector<Rank> others;
      for (Rank rank = 1; rank < group.size(); ++rank) others.push_back(rank);
      static_cast<void>(channel->acquire(others));
      channel->commit({});
    } else {
      static_cast<void>(channel->next(0));
      mean->start();
      mean->wait();
      EXPECT_EQ(std::ranges::count(x, middle), static_cast<std::ptrdiff_t>(kSize));
    }

    group.barrier();
    next_mean->start();
    next_mean->wait();
    EXPECT_EQ(std::ranges::count(next, middle), static_cast<std::ptrdiff_t>(kSize));
  });
}

/// Whoever starts another mean than the others waits in vain, and they do.
TEST_P(NetworkMeanTest, MeansOfDifferentSizesTakeNothingOfEachOther) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() != 3) return;
    std::vector<float> x = own_numbers(group, group.rank() == 1 ? 150'000 : 200'000);
    const std::vector<float> before = x;
    const auto mean = group.make_mean(std::span<float>(x), 1s);
    mean->start();
    EXPECT_THROW(mean->wait(), TimeoutError);
    EXPECT_TRUE(x == before);
    group.barrier();
  });
}

TEST_P(NetworkMeanTest, AMeanThatTimesOutNamesWhoIsMissing) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() != 3) return;  // one waits for the missing one, one for another that waits
    std::vector<float> x = own_numbers(group, 200'000);
    for (const Rank missing : {1, 2}) {  // the second time rank 1 has started one mean less
      const auto mean = group.make_mean(std::span<float>(x), 3s);
      if (group.rank() != missing) {
        mean->start();
        test::expect_throw<TimeoutError>(
            [&] { mean->wait(); },
            {fmt::format("waited 3000 ms for rank {} in the mean over 3 ranks", missing)});
      }
      group.barrier();
    }
  });
}

TEST_P(NetworkMeanTest, AMeanMayBeLetGoWhileItsValuesAreInFlight) {
  on_ranks(GetParam(), [](Group& group) {
    const float middle = static_cast<float>(group.size() - 1) / 2.0F;
    std::vector<float> x = own_numbers(group, 1'000'003);
    auto vector = std::make_unique<std::vector<float>>(own_numbers(group, 1'000'003));
    const auto mean = group.make_mean(std::span<float>(x), kLong);
    auto ended = group.make_mean(std::span<float>(*vector), kLong);

    ended->start();
    mean->start();
    if (group.rank() == 0) {
      ended.reset();
      vector.reset();
    }
    mean->wait();

    EXPECT_EQ(std::ranges::count(x, middle), static_cast<std::ptrdiff_t>(x.size()));
    if (group.rank() != 0) {
      ended->wait();
      EXPECT_EQ(std::ranges::count(*vector, middle), static_cast<std::ptrdiff_t>(x.size()));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, NetworkMeanTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::transport
