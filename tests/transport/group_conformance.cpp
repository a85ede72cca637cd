// SPDX-License-Identifier: Apache-2.0
// What every group has to do, whatever its ranks are. See on_ranks.h.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/transport/agreement.h>
#include <libgossip/transport/group.h>

#include "support/expect_throw.h"
#include "transport/on_ranks.h"

namespace gossip::transport {
namespace {

using test::on_ranks;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::chrono::seconds kLong{30};

class GroupTest : public testing::TestWithParam<int> {};

/// The ranks whose memory this one addresses, itself included.
std::vector<Rank> near_ranks(const Group& group) {
  std::vector<Rank> ranks;
  for (Rank rank = 0; rank < group.size(); ++rank) {
    if (group.shares_memory_with(rank)) ranks.push_back(rank);
  }
  return ranks;
}

TEST_P(GroupTest, MemoryIsSharedInBothDirectionsAndWithOneself) {
  on_ranks(GetParam(), [](Group& group) {
    std::string shares;
    for (Rank rank = 0; rank < group.size(); ++rank) {
      shares += group.shares_memory_with(rank) ? '1' : '0';
    }

    const std::vector<std::string> all = group.all_gather(shares);

    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(all[i][i], '1');
      for (std::size_t k = 0; k < all.size(); ++k) EXPECT_EQ(all[i][k], all[k][i]) << i << " " << k;
    }
    EXPECT_EQ(is_one_host(group), shares.find('0') == std::string::npos);
  });
}

TEST_P(GroupTest, RanksAreNumberedFromZero) {
  on_ranks(GetParam(), [](Group& group) {
    EXPECT_EQ(group.size(), GetParam());
    const std::vector<Rank> ranks = group.all_gather(group.rank());
    EXPECT_EQ(ranks.size(), static_cast<std::size_t>(group.size()));
    for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
      EXPECT_EQ(ranks[rank], static_cast<Rank>(rank));
    }
  });
}

TEST_P(GroupTest, RegionsAreAlignedAndOfTheSizesAskedFor) {
  on_ranks(GetParam(), [](Group& group) {
    const auto bytes_of = [](Rank rank) { return static_cast<std::size_t>(rank) * 1001; };

    const auto region = group.make_region(bytes_of(group.rank()));

    for (const Rank rank : near_ranks(group)) {
      EXPECT_EQ(region->of(rank).size(), bytes_of(rank));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(region->of(rank).data()) % 64, 0U);
    }
    group.barrier();
  });
}

TEST_P(GroupTest, EveryRankOfAHostAddressesAllOfARegion) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kBytes = 1001;
    const auto region = group.make_region(kBytes);
    const std::vector<Rank> near = near_ranks(group);
    const std::size_t size = near.size();
    const auto own = static_cast<std::size_t>(std::ranges::find(near, group.rank()) - near.begin());
    group.barrier();

    // The r-th rank of the host writes byte k of every part where k mod n == r.
    for (std::size_t part = 0; part < size; ++part) {
      for (std::size_t k = own; k < kBytes; k += size) {
        region->of(near[part])[k] = static_cast<std::byte>(part * 17 + k);
      }
    }
    group.barrier();

    std::size_t wrong = 0;
    for (std::size_t part = 0; part < size; ++part) {
      for (std::size_t k = 0; k < kBytes; ++k) {
        const std::byte value = region->of(near[part])[k];
        wrong += value != static_cast<std::byte>(part * 17 + k) ? 1U : 0U;
      }
    }
    EXPECT_EQ(wrong, 0U);
    group.barrier();
  });
}

TEST_P(GroupTest, BarrierWaitsForAll) {
  on_ranks(GetParam(), [](Group& group) {
    const auto region = group.make_region(sizeof(std::atomic<int>));
    const auto counter = [&](Rank rank) -> std::atomic<int>& {
      return *reinterpret_cast<std::atomic<int>*>(region->of(rank).data());
    };
    new (region->of(group.rank()).data()) std::atomic<int>(0);
    group.barrier();
    int early = 0;

    for (int round = 1; round <= 200; ++round) {
      counter(group.rank()).store(round, std::memory_order_relaxed);
      group.barrier();
      for (const Rank rank : near_ranks(group)) {
        const int value = counter(rank).load(std::memory_order_relaxed);
        early += value < round || value > round + 1 ? 1 : 0;
      }
    }

    EXPECT_EQ(early, 0);
    group.barrier();
  });
}

TEST_P(GroupTest, RanksInDifferentCallsAllSayWhichAndGoOn) {
  if (GetParam() == 1) return;
  on_ranks(GetParam(), [](Group& group) {
    const Rank last = group.size() - 1;
    const bool is_last = group.rank() == last;
    std::vector<std::byte> bytes(8);
    std::vector<double> numbers(3);
    const auto expect_differs = [&](const std::function<void()>& usual,
                                    const std::function<void()>& other, std::string_view first,
                                    std::string_view second) {
      test::expect_throw<JointError>(
          is_last ? other : usual,
          {fmt::format("rank 0 is in {}, rank {} in {}.", first, last, second)});
    };

    expect_differs([&] { group.barrier(); }, [&] { group.broadcast(bytes, 0); }, "a barrier",
                   "a broadcast of 8 bytes of rank 0");
    expect_differs([&] { static_cast<void>(group.all_gather("a")); },
                   [&] { average_(group, std::span<double>(numbers)); }, "a gather",
                   "the mean of 3 numbers of 8 bytes");
    expect_differs([&] { static_cast<void>(group.make_region(8)); },
                   [&] { static_cast<void>(group.make_largest(2)); }, "the making of shared memory",
                   "the making of the largest of 2 numbers");
    expect_differs([&] { group.broadcast(bytes, 0); },
                   [&] { group.broadcast(std::span(bytes).first(4), 0); },
                   "a broadcast of 8 bytes of rank 0", "a broadcast of 4 bytes of rank 0");

    EXPECT_EQ(group.all_gather("a").size(), static_cast<std::size_t>(group.size()));
  });
}

TEST_P(GroupTest, CallsAreNamedAsTheUserMakesThem) {
  if (GetParam() == 1) return;
  on_ranks(GetParam(), [](Group& group) {
    const Rank last = group.size() - 1;
    const bool is_last = group.rank() == last;
    const auto in = [&](std::string_view name, std::int64_t step, bool is_in_step) {
      const CollectiveCall call(name, kLong, step, is_in_step);
      const CollectiveCall inside("what it calls", kLong, 77, true);
      group.barrier();
    };

    test::expect_throw<JointError>([&] { in(is_last ? "save()" : "load()", 5, true); },
                                   {fmt::format("rank 0 is in load() after 5 steps, rank {} in "
                                                "save() after 5 steps.",
                                                last)});
    test::expect_throw<JointError>([&] { in("load()", is_last ? 1 : 2, true); },
                                   {fmt::format("rank 0 is in load() after 2 steps, rank {} in "
                                                "load() after 1 step.",
                                                last)});
    const auto barrier_or_gather = [&] {
      const CollectiveCall call("load()", kLong);
      is_last ? static_cast<void>(group.all_gather("")) : group.barrier();
    };
    test::expect_throw<JointError>(
        barrier_or_gather,
        {fmt::format("rank 0 is in load() (a barrier), rank {} in load() (a gather).", last)});
    in("load()", is_last ? 1 : 2, false);  // need not be in the same step
  });
}

TEST_P(GroupTest, BroadcastsFromEveryRoot) {
  on_ranks(GetParam(), [](Group& group) {
    constexpr std::size_t kMiB = std::size_t{1} << 20U;
    const auto pattern = [](Rank rank, std::size_t k) {
      return static_cast<std::byte>(static_cast<std::size_t>(rank) * 101 + k * 7 + k / 251);
    };
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, std::size_t{1001}, kMiB, 5 * kMiB + 17}) {
      for (Rank root = 0; root < group.size(); ++root) {
        std::vector<std::byte> bytes(size + 1);
        const std::size_t step = size / 10007 + 1;  // samples of a long one
        for (std::size_t k = 0; k <= size; k += step) bytes[k] = pattern(group.rank(), k);
        bytes[size] = pattern(group.rank(), size);

        group.broadcast(std::span(bytes).first(size), root);

        std::size_t wrong = 0;
        for (std::size_t k = 0; k < size; k += step) {
          wrong += bytes[k] != pattern(root, k) ? 1U : 0U;
        }
        EXPECT_EQ(wrong, 0U) << size << " bytes from rank " << root;
        EXPECT_EQ(bytes[size], pattern(group.rank(), size));
      }
    }
  });
}

/// Values come again after that many elements, so few have to be foretold.
constexpr std::size_t kPeriod = 1009;

/// Element k of the rank's vector is number k % kPeriod of these.
template <class T>
std::vector<T> values_of(Rank rank, std::uint64_t seed) {
  SplitMix64 generator = SplitMix64::at(seed, static_cast<std::uint64_t>(rank));
  std::vector<T> values(kPeriod);
  for (T& value : values) value = static_cast<T>(2.0 * generator.unit() - 1.0);
  return values;
}

template <class T>
void check_mean(Group& group) {
  // From fewer elements than ranks to more than go around between hosts at a time.
  for (const std::size_t size : {0U, 1U, 7U, 1001U, 5003U, 100003U, 1000003U}) {
    std::vector<T> x(size);
    const auto mean = group.make_mean(std::span<T>(x), kLong);
    for (const std::uint64_t seed : {1U, 2U}) {  // made once, started often
      const std::vector<T> own = values_of<T>(group.rank(), seed);
      for (std::size_t k = 0; k < size; ++k) x[k] = own[k % kPeriod];
      std::vector<double> expected(kPeriod, 0.0);
      for (Rank rank = 0; rank < group.size(); ++rank) {
        const std::vector<T> values = values_of<T>(rank, seed);
        for (std::size_t k = 0; k < kPeriod; ++k) {
          expected[k] += static_cast<double>(values[k]) / group.size();
        }
      }

      mean->start();
      mean->progress();
      mean->wait();

      double worst = 0.0;
      std::size_t changed = 0;
      for (std::size_t k = 0; k < size; ++k) {
        worst = std::max(worst, std::abs(x[k] - expected[k % kPeriod]));
        changed += x[k] != own[k % kPeriod] ? 1U : 0U;
      }
      EXPECT_LE(worst, 8.0 * std::numeric_limits<T>::epsilon()) << size;
      if (group.size() == 1) {
        EXPECT_EQ(changed, 0U) << size;
      }

      std::string bits(size * sizeof(T), '\0');
      if (size > 0) std::memcpy(bits.data(), x.data(), bits.size());
      for (const std::string& other : group.all_gather(bits)) {
        EXPECT_EQ(other == bits, true) << "ranks have different bits";
      }
    }
  }
}

TEST_P(GroupTest, MeanOfFloats) { on_ranks(GetParam(), check_mean<float>); }
TEST_P(GroupTest, MeanOfDoubles) { on_ranks(GetParam(), check_mean<double>); }

TEST_P(GroupTest, TwoMeansRunAtOnce) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<float> x(1001, static_cast<float>(group.rank()));
    std::vector<double> y(501, 10.0 * group.rank());
    const auto mean_x = group.make_mean(std::span<float>(x), kLong);
    const auto mean_y = group.make_mean(std::span<double>(y), kLong);

    mean_x->start();
    mean_y->start();
    mean_x->wait();
    mean_y->wait();

    const double middle = (group.size() - 1) / 2.0;
    EXPECT_FLOAT_EQ(x.front(), static_cast<float>(middle));
    EXPECT_FLOAT_EQ(x.back(), static_cast<float>(middle));
    EXPECT_DOUBLE_EQ(y.front(), 10.0 * middle);
    EXPECT_DOUBLE_EQ(y.back(), 10.0 * middle);
  });
}

TEST_P(GroupTest, MeansOfAllSizesFollowEachOtherWhoeverIsLate) {
  on_ranks(GetParam(), [](Group& group) {
    const std::vector<std::size_t> sizes{300007, 3, 20011, 0, 5003, 1, 100003};
    const auto ranks = static_cast<std::size_t>(group.size());
    std::vector<std::vector<float>> vectors;
    std::vector<std::unique_ptr<Mean>> means;
    for (const std::size_t size : sizes) vectors.emplace_back(size);
    for (std::vector<float>& vector : vectors) {
      means.push_back(group.make_mean(std::span<float>(vector), kLong));
    }
    std::size_t wrong = 0;
    for (std::size_t round = 0; round < 10; ++round) {
      const auto value = [&](std::size_t rank, std::size_t vector, std::size_t k) {
        return static_cast<float>(rank + 10 * round + 100 * vector + k % 1000);
      };
      for (std::size_t v = 0; v < sizes.size(); ++v) {
        for (std::size_t k = 0; k < sizes[v]; ++k) {
          vectors[v][k] = value(static_cast<std::size_t>(group.rank()), v, k);
        }
        means[v]->start();
        // Another rank in each round, and for each vector, moves on what is in flight.
        for (std::size_t i = 0; (round + v + i) % ranks == 0 && i < 50; i += ranks) {
          means[v / 2]->progress();
        }
      }
      for (const std::unique_ptr<Mean>& mean : means) mean->wait();

      for (std::size_t v = 0; v < sizes.size(); ++v) {
        for (std::size_t k = 0; k < sizes[v]; ++k) {
          const float expected = value(0, v, k) + static_cast<float>(ranks - 1) / 2.0F;
          wrong += std::abs(vectors[v][k] - expected) > 1e-6F * expected ? 1U : 0U;
        }
      }
    }
    EXPECT_EQ(wrong, 0U);
  });
}

TEST_P(GroupTest, MeanOfANumberAndAverageInPlace) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<float> x = {1.0F + static_cast<float>(group.rank())};

    average_(group, std::span<float>(x));
    const double mean = mean_of(group, group.rank());

    EXPECT_FLOAT_EQ(x[0], 1.0F + static_cast<float>(group.size() - 1) / 2.0F);
    EXPECT_DOUBLE_EQ(mean, (group.size() - 1) / 2.0);
  });
}

/// The message of the JointError that `call` throws; empty when it throws none.
template <class Call>
std::string joint_error(Call&& call) {
  try {
    call();
  } catch (const JointError& error) {
    return error.what();
  }
  return {};
}

TEST_P(GroupTest, AgreementIsSilent) {
  on_ranks(GetParam(), [](Group& group) {
    EXPECT_NO_THROW(require_agreement(group, "topology", "ring"));
    EXPECT_NO_THROW(require_agreement(group, "seed", ""));
    EXPECT_NO_THROW(check_together(group, [] {}));
  });
}

TEST_P(GroupTest, DisagreementIsThrownByAllAndNamesTheRank) {
  on_ranks(GetParam(), [](Group& group) {
    if (group.size() == 1) return;
    const Rank odd_one = group.size() - 1;

    const std::string message = joint_error(
        [&] { require_agreement(group, "topology", group.rank() == odd_one ? "star" : "ring"); });

    EXPECT_THAT(message,
                AllOf(HasSubstr("The ranks disagree on the topology"), HasSubstr("rank 0 has ring"),
                      HasSubstr("rank " + std::to_string(odd_one) + " has star")));
    group.barrier();  // nobody is left behind
  });
}

TEST_P(GroupTest, AFailedCheckIsThrownByAllAndNamesTheRank) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank failing = group.size() - 1;

    const std::string message = joint_error([&] {
      check_together(
          group, [&] { GOSSIP_CHECK(group.rank() != failing, "The folder cannot be written."); });
    });

    EXPECT_THAT(message, HasSubstr("The folder cannot be written."));
    if (failing > 0) {
      EXPECT_THAT(message, HasSubstr("On rank " + std::to_string(failing)));
    }
    group.barrier();
  });
}

TEST_P(GroupTest, AFailedCheckOfAnotherLibraryIsThrownByAllToo) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank failing = group.size() - 1;
    const auto message_of = [&](const char* text) {
      return joint_error([&] {
        check_together(group, [&] {
          if (group.rank() == failing) throw std::out_of_range(text);
        });
      });
    };

    EXPECT_THAT(message_of("index 7"), HasSubstr("index 7"));
    EXPECT_THAT(message_of(""), HasSubstr("without a message"));
    group.barrier();
  });
}

TEST_P(GroupTest, FindsTheLargestNumbersInTheBackground) {
  on_ranks(GetParam(), [](Group& group) {
    const auto largest = group.make_largest(2);
    EXPECT_TRUE(largest->test()) << "nothing was started";
    for (int turn = 0; turn < 50; ++turn) {
      const std::array<double, 2> own{group.rank() + 10.0 * turn, -group.rank() - 0.5 * turn};
      largest->start(own);
      while (!largest->test()) std::this_thread::yield();
      EXPECT_EQ(largest->numbers()[0], group.size() - 1 + 10.0 * turn);
      EXPECT_EQ(largest->numbers()[1], -0.5 * turn);
    }
  });
}

/// Ranks come to it before and after other collective calls.
TEST_P(GroupTest, TheLargestNumbersHaveAMessageSpaceOfTheirOwn) {
  on_ranks(GetParam(), [](Group& group) {
    const auto largest = group.make_largest(1);
    const double own = group.rank();
    if (group.rank() % 2 == 0) largest->start(std::span(&own, 1));
    EXPECT_EQ(mean_of(group, 3.0), 3.0);
    if (group.rank() % 2 == 1) {
      EXPECT_TRUE(largest->test());
      largest->start(std::span(&own, 1));
    }
    group.barrier();
    while (!largest->test()) std::this_thread::yield();
    EXPECT_EQ(largest->numbers()[0], group.size() - 1);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, GroupTest, testing::ValuesIn(test::rank_counts()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace gossip::transport
