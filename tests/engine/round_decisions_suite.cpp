// SPDX-License-Identifier: Apache-2.0
// What ranks decide by themselves in rounds: what they give, and for whom they wait. On every kind
// of group: see transport/on_ranks.h.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <thread>

#include <libgossip/base/random.h>
#include <libgossip/engine/rounds/mixer.h>
#include <libgossip/policy/wait.h>
#include <libgossip/topology/directed.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::all_schedules;
using test::expect_throw;
using test::on_ranks;
using test::start_value;
using transport::Group;

constexpr std::chrono::seconds kLong{30};

class RoundDecisionsTest : public testing::TestWithParam<int> {};

/// Whether a rank gives anything in a round: known to nobody else.
bool gives(Rank rank, std::int64_t round) { return (5 * rank + 3 * round) % 4 != 1; }

/// The even weights of those who give; the others keep what they would have pushed.
TEST_P(RoundDecisionsTest, EachRankDecidesByItselfWhatItGivesInDirectedRounds) {
  on_ranks(GetParam(), [](Group& group) {
    const auto self = static_cast<std::size_t>(group.rank());
    const auto size = static_cast<std::size_t>(group.size());
    for (const topology::Schedule& schedule : all_schedules(group.size())) {
      SCOPED_TRACE(schedule.name());
      const topology::Matrices matrices{topology::with_row_weights(schedule),
                                        topology::with_column_weights(schedule)};
      std::vector<double> x{start_value(group.rank(), 0, 0)};
      std::vector<double> y{start_value(group.rank(), 1, 0)};
      double weight = 1.0;
      Mixer mixer(group, matrices,
                  {.pulled = {std::span<double>(x)}, .pushed = {std::span<double>(y)}}, kLong);
      std::vector<std::vector<double>> all(3, std::vector<double>(size, 1.0));  // x, y, weights
      for (std::size_t i = 0; i < size; ++i) {
        all[0][i] = start_value(static_cast<Rank>(i), 0, 0);
        all[1][i] = start_value(static_cast<Rank>(i), 1, 0);
      }
      for (std::int64_t round = 0; round < 9; ++round) {
        weight = gives(group.rank(), round) ? mixer.mix(round, weight) : mixer.skip(round, weight);
        auto rows = matrices.pull.matrix(round).rows();
        auto columns = matrices.push.matrix(round).rows();
        for (std::size_t j = 0; j < size; ++j) {
          if (gives(static_cast<Rank>(j), round)) continue;
          for (std::size_t i = 0; i < size; ++i) {
            if (i != j) rows[i][j] = 0.0;
            columns[i][j] = i == j ? 1.0 : 0.0;
          }
        }
        std::vector<std::vector<double>> next(3, std::vector<double>(size, 0.0));
        for (std::size_t i = 0; i < size; ++i) {
          const double sum = std::accumulate(rows[i].begin(), rows[i].end(), 0.0);
          for (std::size_t j = 0; j < size; ++j) {
            next[0][i] += rows[i][j] / sum * all[0][j];
            next[1][i] += columns[i][j] * all[1][j];
            next[2][i] += columns[i][j] * all[2][j];
          }
        }
        all = next;
        EXPECT_NEAR(x[0], all[0][self], 1e-12) << "round " << round;
        EXPECT_NEAR(y[0], all[1][self], 1e-12) << "round " << round;
        EXPECT_NEAR(weight, all[2][self], 1e-12) << "round " << round;
      }
    }
  });
}

TEST_P(RoundDecisionsTest, EachRankDecidesByItselfWhatItGivesAndTheMeanIsKept) {
  on_ranks(GetParam(), [](Group& group) {
    for (const topology::Schedule& schedule : {topology::Schedule(topology::ring(group.size())),
                                               topology::Schedule(topology::complete(group.size())),
                                               topology::random_matching(group.size(), 7)}) {
      SCOPED_TRACE(schedule.name());
      std::vector<double> own(17);
      for (std::size_t k = 0; k < own.size(); ++k) own[k] = start_value(group.rank(), 0, k);
      std::vector<double> before = own;
      average_(group, std::span<double>(before));
      Mixer mixer(group, schedule, {{std::span<double>(own)}}, kLong);

      for (std::int64_t round = 0; round < 60; ++round) {
        const std::vector<double> last = own;
        if (gives(group.rank(), round)) {
          static_cast<void>(mixer.mix(round));
        } else {
          static_cast<void>(mixer.skip(round));
          EXPECT_EQ(own, last) << "who gives nothing takes nothing";
        }
      }

      std::vector<double> after = own;
      average_(group, std::span<double>(after));
      for (std::size_t k = 0; k < own.size(); ++k) EXPECT_NEAR(after[k], before[k], 1e-12);
      const double spread = std::abs(own[0] - after[0]);
      EXPECT_LT(spread, 0.2) << "the ranks do average";
    }
  });
}

/// Waits for some neighbors, which it chooses by the round, and takes no others.
class Chosen final : public policy::WaitPolicy {
 public:
  explicit Chosen(Rank self) : self_(self) {}

  static bool takes(Rank self, Rank neighbor, std::int64_t round) {
    return (self + 2 * neighbor + round) % 3 != 0;
  }

  [[nodiscard]] Verdict decide(const policy::RoundView& view) const override {
    const bool has_all = std::ranges::all_of(view.neighbors, [&](const auto& neighbor) {
      return neighbor.has_arrived || !is_chosen(neighbor.rank);
    });
    return {has_all, policy::kForever};
  }
  void accept(const policy::RoundView& view, policy::Mask& accepted) const override {
    accepted.clear();
    for (const auto& neighbor : view.neighbors) accepted.push_back(is_chosen(neighbor.rank));
  }
  void learn(std::span<const double> offsets) override {
    for (const double offset : offsets) EXPECT_GE(offset, 0.0);
    learned += offsets.size();
  }

  std::int64_t round = 0;  // the mixer's
  bool takes_all = false;
  std::size_t learned = 0;

 private:
  [[nodiscard]] bool is_chosen(Rank neighbor) const {
    return takes_all || takes(self_, neighbor, round);
  }

  Rank self_;
};

/// Ranks run ahead of those that they do not wait for; values stay those of their rounds.
TEST_P(RoundDecisionsTest, WaitsForWhomThePolicyWantsAndReleasesTheOthersUnread) {
  on_ranks(GetParam(), [](Group& group) {
    for (const topology::Schedule& schedule : all_schedules(group.size())) {
      SCOPED_TRACE(schedule.name());
      std::vector<double> own{start_value(group.rank(), 0, 0)};
      std::vector<double> expected;
      for (Rank rank = 0; rank < group.size(); ++rank) {
        expected.push_back(start_value(rank, 0, 0));
      }
      Mixer mixer(group, schedule, {{std::span<double>(own)}}, kLong);
      Chosen policy(group.rank());
      std::size_t sent_to_this = 0;
      std::int64_t left_out = 0;
      constexpr std::int64_t kRounds = 30;
      for (std::int64_t round = 0; round <= kRounds; ++round) {
        policy.round = round;
        policy.takes_all = round == kRounds;
        EXPECT_EQ(mixer.mix(round, 1.0, &policy), 1.0);
        const auto rows = schedule.matrix(round).rows();
        const std::vector<double> last = expected;
        for (Rank i = 0; i < group.size(); ++i) {
          for (Rank j = 0; j < group.size(); ++j) {
            const auto at = [](Rank rank) { return static_cast<std::size_t>(rank); };
            const double weight = rows[at(i)][at(j)];
            const bool is_arc = i != j && weight != 0.0;
            const bool is_taken = round == kRounds || Chosen::takes(i, j, round);
            if (is_arc && is_taken) expected[at(i)] += weight * (last[at(j)] - last[at(i)]);
            if (is_arc && i == group.rank()) {
              ++sent_to_this;
              left_out += is_taken ? 0 : 1;
            }
          }
        }
        EXPECT_NEAR(own[0], expected[static_cast<std::size_t>(group.rank())], 1e-12) << round;
      }
      EXPECT_EQ(mixer.counters().left_out, left_out);
      if (schedule.period() == 1) {
        EXPECT_EQ(policy.learned, sent_to_this) << "of each value once, late ones too";
      }
    }
  });
}

/// Neighbors change with the round, and a value that comes late needs room that others wait for.
TEST_P(RoundDecisionsTest, LateValuesOfOtherNeighborsHoldUpNobody) {
  on_ranks(GetParam(), [](Group& group) {
    for (const topology::Schedule& schedule : {topology::one_peer_exponential(group.size()),
                                               topology::random_matching(group.size(), 3)}) {
      SCOPED_TRACE(schedule.name());
      std::vector<double> own(1 << 18, start_value(group.rank(), 0, 0));  // 2 MB: one slot
      Mixer mixer(group, schedule, {{std::span<double>(own)}}, kLong);
      policy::Deadline at_once(0.0);
      const bool is_hasty = group.rank() % 2 == 0;
      for (std::int64_t round = 0; round < 12; ++round) {
        if (group.rank() == round % group.size()) {
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        mixer.mix(round, 1.0, is_hasty ? &at_once : nullptr);
        EXPECT_EQ(own.front(), own.back());
      }
      mixer.drain();  // else the last senders would wait for room
      group.barrier();
    }
  });
}

TEST_P(RoundDecisionsTest, ARoundWithoutAPolicyWaitsForAllAlsoAfterSomeThatDidNot) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own{static_cast<double>(group.rank())};
    const double mean = (group.size() - 1) / 2.0;
    Mixer mixer(group, topology::complete(group.size()), {{std::span<double>(own)}}, kLong);
    policy::Deadline at_once(0.0);
    for (std::int64_t round = 0; round < 40; ++round) {
      own[0] = static_cast<double>(group.rank());
      if (round % 4 == 3) {
        mixer.mix(round);
        EXPECT_NEAR(own[0], mean, 1e-13) << "round " << round;
      } else {
        mixer.mix(round, 1.0, &at_once);
        EXPECT_GE(own[0], 0.0);
        EXPECT_LE(own[0], group.size() - 1.0);
      }
    }
  });
}

/// Rings, complete graphs and changing matchings: symmetric in every round.
std::vector<topology::Schedule> symmetric_schedules(int size) {
  return {topology::ring(size), topology::complete(size), topology::random_matching(size, 7)};
}

/// The matrix of a round that closes as agreed, applied: an edge counts when both ends take it.
std::vector<double> agreed(const topology::Schedule& schedule, std::int64_t round,
                           const std::vector<double>& x) {
  const auto rows = schedule.matrix(round).rows();
  std::vector<double> result = x;
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t j = 0; j < x.size(); ++j) {
      const auto one = static_cast<Rank>(i);
      const auto other = static_cast<Rank>(j);
      const bool is_used = i != j && gives(one, round) && gives(other, round) &&
                           Chosen::takes(one, other, round) && Chosen::takes(other, one, round);
      if (is_used) result[i] += rows[i][j] * (x[j] - x[i]);
    }
  }
  return result;
}

/// The two ends take each other or not, some skip the round, and ranks run ahead of others.
TEST_P(RoundDecisionsTest, ClosedAsAgreedAnEdgeIsUsedWhenBothEndsTakeIt) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank rank = group.rank();
    for (const topology::Schedule& schedule : symmetric_schedules(group.size())) {
      SCOPED_TRACE(schedule.name());
      std::vector<double> own{start_value(rank, 0, 0)};
      std::vector<double> expected;
      for (Rank one = 0; one < group.size(); ++one) expected.push_back(start_value(one, 0, 0));
      const double mean = std::accumulate(expected.begin(), expected.end(), 0.0) / group.size();
      Mixer mixer(group, schedule, {{std::span<double>(own)}}, kLong, nullptr, true);
      Chosen policy(rank);
      for (std::int64_t round = 0; round < 60; ++round) {
        policy.round = round;
        if (gives(rank, round)) {
          EXPECT_EQ(mixer.mix(round, 1.0, &policy), 1.0);
        } else {
          EXPECT_EQ(mixer.skip(round), 1.0);
        }
        expected = agreed(schedule, round, expected);
        EXPECT_NEAR(own[0], expected[static_cast<std::size_t>(rank)], 1e-13) << "round " << round;
      }
      mixer.drain();
      average_(group, std::span<double>(own));
      EXPECT_NEAR(own[0], mean, 1e-14 * group.size()) << "the mean of all is kept";
    }
  });
}

/// Takes whom a generator says, asked once a round: the two ends of an edge know nothing of it.
class Random final : public policy::WaitPolicy {
 public:
  explicit Random(Rank self) : random_(static_cast<std::uint64_t>(self) + 11) {}

  [[nodiscard]] Verdict decide(const policy::RoundView& view) const override {
    return {std::ranges::all_of(view.neighbors, &policy::NeighborView::has_arrived),
            policy::kForever};
  }
  void accept(const policy::RoundView& view, policy::Mask& accepted) const override {
    accepted.clear();
    for (std::size_t m = 0; m < view.neighbors.size(); ++m) {
      accepted.push_back(random_.below(3) > 0);
    }
  }

 private:
  mutable SplitMix64 random_;
};

/// With deadlines of no time as well: whoever is there by chance. Some ranks have no policy.
TEST_P(RoundDecisionsTest, ClosedAsAgreedTheMeanIsKeptWhateverEachRankTakes) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank rank = group.rank();
    for (const topology::Schedule& schedule : symmetric_schedules(group.size())) {
      SCOPED_TRACE(schedule.name());
      std::vector<double> own(5);
      for (std::size_t k = 0; k < own.size(); ++k) own[k] = start_value(rank, 0, k);
      std::vector<double> before = own;
      average_(group, std::span<double>(before));
      Mixer mixer(group, schedule, {{std::span<double>(own)}}, kLong, nullptr, true);
      Random random(rank);
      policy::Deadline at_once(0.0);
      policy::WaitPolicy* const policies[] = {&random, &at_once, nullptr};
      for (std::int64_t round = 0; round < 200; ++round) {
        mixer.mix(round, 1.0, policies[static_cast<std::size_t>(rank + round) % 3]);
      }
      mixer.drain();
      average_(group, std::span<double>(own));
      for (std::size_t k = 0; k < own.size(); ++k) {
        EXPECT_NEAR(own[k], before[k], 1e-14 * group.size());
      }
    }
  });
}

TEST_P(RoundDecisionsTest, ClosedAsAgreedWithAllThereRoundsAreThoseWithoutAPolicyBitByBit) {
  on_ranks(GetParam(), [](Group& group) {
    for (const topology::Schedule& schedule : symmetric_schedules(group.size())) {
      SCOPED_TRACE(schedule.name());
      std::vector<float> plain(9);
      for (std::size_t k = 0; k < plain.size(); ++k) {
        plain[k] = static_cast<float>(start_value(group.rank(), 0, k));
      }
      std::vector<float> as_agreed = plain;
      Mixer one(group, schedule, {{std::span<float>(plain)}}, kLong);
      Mixer other(group, schedule, {{std::span<float>(as_agreed)}}, kLong, nullptr, true);
      policy::All all;
      for (std::int64_t round = 0; round < 20; ++round) {
        one.mix(round);
        other.mix(round, 1.0, (group.rank() + round) % 2 == 0 ? &all : nullptr);
        EXPECT_EQ(plain, as_agreed) << "round " << round;
      }
      EXPECT_EQ(other.counters().left_out, 0);
    }
  });
}

/// Values and words that nobody waits for are taken before a rank stops.
TEST_P(RoundDecisionsTest, ClosedAsAgreedARankThatStopsHoldsUpNobody) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own(1 << 18, start_value(group.rank(), 0, 0));  // 2 MB: one slot
    Mixer mixer(group, topology::complete(group.size()), {{std::span<double>(own)}}, kLong, nullptr,
                true);
    policy::Deadline at_once(0.0);
    const bool is_last = group.rank() == group.size() - 1;
    for (std::int64_t round = 0; round < 40; ++round) {
      if (is_last && round % 8 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      mixer.mix(round, 1.0, &at_once);
      EXPECT_EQ(own.front(), own.back());
    }
    mixer.drain();  // else the last senders would wait for room
    group.barrier();
  });
}

/// What is only sent goes into a correction by the same matrix: the corrections' sum is kept.
TEST_P(RoundDecisionsTest, ClosedAsAgreedTheSumOfCorrectionsIsKept) {
  on_ranks(GetParam(), [](Group& group) {
    const Rank rank = group.rank();
    std::vector<double> x{start_value(rank, 0, 0)};
    std::vector<double> correction{0.0};
    Mixer mixer(group, topology::ring(group.size()),
                {.pulled = {std::span<double>(x)}, .corrections = {std::span<double>(correction)}},
                kLong, nullptr, true);
    Random policy(rank);
    for (std::int64_t round = 0; round < 40; ++round) {
      mixer.outgoing(round)[0].as<double>()[0] =
          start_value(rank, 1, static_cast<std::size_t>(round));
      mixer.mix(round, 1.0, &policy);
    }
    mixer.settle();
    mixer.drain();
    const double last = correction[0];
    average_(group, std::span<double>(correction));
    EXPECT_NEAR(correction[0], 0.0, 1e-13);
    EXPECT_TRUE(group.size() == 1 || last != 0.0);
  });
}

TEST_P(RoundDecisionsTest, ClosesAsAgreedOnlyWhereAllRanksDoAndMatricesAreSymmetric) {
  on_ranks(GetParam(), [](Group& group) {
    std::vector<double> own{0.0};
    if (group.size() > 1) {
      expect_throw<Error>(
          [&] {
            Mixer(group, topology::ring(group.size()), {{std::span<double>(own)}}, kLong, nullptr,
                  group.rank() == 0);
          },
          {"vectors to mix", "close as agreed"});
    }
    if (group.size() > 2) {
      expect_throw<Error>(
          [&] {
            Mixer(group, topology::directed_ring(group.size()), {{std::span<double>(own)}}, kLong,
                  nullptr, true);
          },
          {"'directed-ring' is not symmetric", "random-matching"});
    }
    expect_throw<Error>(
        [&] {
          Mixer(group, topology::ring(group.size()), {.pulled = {}, .pushed = {std::span(own)}},
                kLong, nullptr, true);
        },
        {"cannot close as agreed", "pushes"});
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, RoundDecisionsTest, testing::ValuesIn(test::engine_rank_counts()));

}  // namespace
}  // namespace gossip::engine
