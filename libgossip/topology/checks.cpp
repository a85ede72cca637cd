// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/topology/checks.h>

namespace gossip::topology {
namespace {

constexpr std::int64_t kRoundsOfAperiodicSchedule = 64;

constexpr const char* kForRows =
    "Give every receiver weights that sum to 1, its self weight included (uniform_in_degree does "
    "for any graph)";
constexpr const char* kForColumns =
    "Give every sender weights that sum to 1, its self weight included (uniform_out_degree does "
    "for any graph)";
constexpr const char* kForBoth =
    "Take an undirected graph (its Metropolis weights are doubly stochastic), a regular directed "
    "one such as static-exponential, or an optimizer for directed graphs (push-sum, push-pull)";

std::int64_t num_rounds(const Schedule& schedule, std::int64_t rounds) {
  GOSSIP_CHECK(rounds >= 0, "Cannot check {} rounds of schedule '{}'", rounds, schedule.name());
  if (schedule.period() > 0) {
    return rounds == kWholePeriod ? schedule.period()
                                  : std::min<std::int64_t>(rounds, schedule.period());
  }
  return rounds == kWholePeriod ? kRoundsOfAperiodicSchedule : rounds;
}

/// "Round 3 of schedule 'x'"; "Schedule 'x'" when all rounds are the same.
std::string where(const Schedule& schedule, std::int64_t round) {
  if (schedule.period() == 1) return fmt::format("Schedule '{}'", schedule.name());
  return fmt::format("Round {} of schedule '{}'", round, schedule.name());
}

/// Whether both name the same ranks in the same order, with weights that differ by rounding only.
bool are_same(std::span<const Neighbor> a, std::span<const Neighbor> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.rank == y.rank && std::abs(x.weight - y.weight) <= kStochasticTolerance;
  });
}

/// `matrix` holds what the receivers of the round expect.
void validate_consistent_round(const Schedule& schedule, std::int64_t round,
                               const MixingMatrix& matrix) {
  Neighborhood own;
  for (Rank rank = 0; rank < schedule.size(); ++rank) {
    schedule.neighborhood(round, rank, own);
    GOSSIP_CHECK(are_same(own.in, matrix.row(rank)),
                 "{}: the senders of rank {} are not sorted, or have a weight of 0",
                 where(schedule, round), rank);
    GOSSIP_CHECK(are_same(own.out, matrix.column(rank)),
                 "{}: rank {} sends to {} ranks, but {} expect something from it, or with other "
                 "weights; `out` must list exactly the ranks that list this one in `in`, sorted",
                 where(schedule, round), rank, own.out.size(), matrix.column(rank).size());
  }
}

/// Runs `validate(matrix, name)` on every round; adds what would do to its message.
template <class Validate>
void validate_rounds(const Schedule& schedule, std::int64_t rounds, const char* what_would_do,
                     Validate validate) {
  const std::int64_t end = num_rounds(schedule, rounds);
  for (std::int64_t round = 0; round < end; ++round) {
    const MixingMatrix matrix = schedule.matrix(round);
    validate_consistent_round(schedule, round, matrix);
    try {
      validate(matrix, where(schedule, round));
    } catch (const Error& error) {
      throw Error(fmt::format("{}. {}", error.what(), what_would_do));
    }
  }
}

void check_mutual(const Schedule& schedule) {
  Neighborhood own;
  for (std::int64_t round = 0; round < num_rounds(schedule, kWholePeriod); ++round) {
    for (Rank rank = 0; rank < schedule.size(); ++rank) {
      schedule.neighborhood(round, rank, own);
      GOSSIP_CHECK(
          std::ranges::equal(own.in, own.out, {}, &Neighbor::rank, &Neighbor::rank),
          "The topology '{}' has neighbors that are not mutual (rank {} in round {}), so a "
          "lost one cannot be dropped: take ring, torus or random-matching, or push-sum.",
          schedule.name(), rank, round);
    }
  }
}

/// The arcs of the first rounds, added up.
class Union {
 public:
  explicit Union(int size) : size_(size) {}

  void add_round(const Schedule& schedule, std::int64_t round) {
    Neighborhood own;
    for (Rank rank = 0; rank < size_; ++rank) {
      schedule.neighborhood(round, rank, own);
      for (const Neighbor& sender : own.in) arcs_.push_back({sender.rank, rank});
    }
  }

  [[nodiscard]] Graph graph() const { return Graph::directed(size_, arcs_, "union"); }

 private:
  int size_;
  std::vector<Arc> arcs_;
};

}  // namespace

void validate_consistent(const Schedule& schedule, std::int64_t rounds) {
  const std::int64_t end = num_rounds(schedule, rounds);
  for (std::int64_t round = 0; round < end; ++round) {
    validate_consistent_round(schedule, round, schedule.matrix(round));
  }
}

void validate_row_stochastic(const Schedule& schedule, std::int64_t rounds) {
  validate_rounds(schedule, rounds, kForRows, [](const MixingMatrix& matrix, const auto& name) {
    validate_row_stochastic(matrix, name);
  });
}

void validate_column_stochastic(const Schedule& schedule, std::int64_t rounds) {
  validate_rounds(schedule, rounds, kForColumns, [](const MixingMatrix& matrix, const auto& name) {
    validate_column_stochastic(matrix, name);
  });
}

void validate_doubly_stochastic(const Schedule& schedule, std::int64_t rounds) {
  validate_rounds(schedule, rounds, kForBoth, [](const MixingMatrix& matrix, const auto& name) {
    validate_doubly_stochastic(matrix, name);
  });
}

void validate_symmetric(const Schedule& schedule, std::size_t most_neighbors) {
  Neighborhood own;
  for (std::int64_t round = 0; round < num_rounds(schedule, kWholePeriod); ++round) {
    for (Rank rank = 0; rank < schedule.size(); ++rank) {
      schedule.neighborhood(round, rank, own);
      GOSSIP_CHECK(own.in.size() <= most_neighbors,
                   "{}: rank {} has {} neighbors, of which a message can name at most {}: take a "
                   "topology with fewer.",
                   where(schedule, round), rank, own.in.size(), most_neighbors);
      GOSSIP_CHECK(are_same(own.in, own.out),
                   "{} is not symmetric: what rank {} takes of others is not what they take of it. "
                   "Take an undirected topology, such as ring, torus or random-matching.",
                   where(schedule, round), rank);
    }
  }
}

std::optional<std::int64_t> rounds_to_connect(const Schedule& schedule, std::int64_t max_rounds) {
  if (schedule.size() == 1) return 0;
  const std::int64_t end =
      schedule.period() > 0 ? std::min<std::int64_t>(max_rounds, schedule.period()) : max_rounds;
  Union arcs(schedule.size());
  for (std::int64_t round = 0; round < end; ++round) {
    arcs.add_round(schedule, round);
    if (arcs.graph().is_strongly_connected()) return round + 1;
  }
  return std::nullopt;
}

void validate_connected(const Schedule& schedule, std::int64_t rounds) {
  const std::int64_t end = num_rounds(schedule, rounds);
  if (rounds_to_connect(schedule, end)) return;
  Union arcs(schedule.size());
  for (std::int64_t round = 0; round < end; ++round) arcs.add_round(schedule, round);
  const auto pair = arcs.graph().find_unreachable();
  GOSSIP_CHECK(!pair,
               "Schedule '{}' does not connect its ranks: no way leads from rank {} to rank {} in "
               "{} rounds; add edges, or take a topology such as ring",
               schedule.name(), pair->sender, pair->receiver, end);
}

void warn_if_apart(Rank self, const Schedule& schedule) {
  constexpr std::int64_t kRoundsExamined = 1000;
  const std::int64_t rounds = schedule.period() > 0 ? schedule.period() : kRoundsExamined;
  if (self != 0 || rounds_to_connect(schedule, rounds)) return;
  log(LogLevel::kWarning, self,
      "the topology '{}' does not connect all ranks in the {} rounds examined: parts of them train "
      "apart",
      schedule.name(), rounds);
}

void check_size(std::string_view name, int size, int ranks) {
  GOSSIP_CHECK(size == ranks,
               "The topology '{}' is made for {} ranks, but the group has {}: make it with the "
               "group's size.",
               name, size, ranks);
}

void check_may_drop(const Schedule& schedule, std::size_t most_neighbors) {
  check_mutual(schedule);
  const int most = schedule.degree_bound();
  GOSSIP_CHECK(std::cmp_less_equal(most, most_neighbors),
               "The topology '{}' has a rank with {} neighbors in a round, of which a lost one "
               "cannot be dropped: at most {} can be named.",
               schedule.name(), most, most_neighbors);
}

}  // namespace gossip::topology
