// SPDX-License-Identifier: Apache-2.0
// What ranks decide by themselves in rounds: what they give, and for whom they wait. On every kind
// of group: see transport/on_ranks.h.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <thread>

#include <libgossip/engine/rounds/mixer.h>
#include <libgossip/policy/wait.h>
#include <libgossip/topology/directed.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

using test::all_schedules;
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

INSTANTIATE_TEST_SUITE_P(Ranks, RoundDecisionsTest, testing::ValuesIn(test::engine_rank_counts()));

}  // namespace
}  // namespace gossip::engine
