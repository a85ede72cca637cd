// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/topology/directed.h>

namespace gossip::topology {
namespace {

constexpr int kRoundsExamined = 64;  // of a schedule that never repeats

bool all_matrices(const Schedule& schedule, bool (MixingMatrix::*holds)() const) {
  const int rounds = schedule.period() > 0 ? schedule.period() : kRoundsExamined;
  for (int round = 0; round < rounds; ++round) {
    if (!(schedule.matrix(round).*holds)()) return false;
  }
  return true;
}

double even_share(std::size_t others) { return 1.0 / (1.0 + static_cast<double>(others)); }

/// The arcs of a schedule that carry something, in a given round.
class Arcs {
 public:
  Arcs(Schedule schedule, Sampling sampling)
      : schedule_(std::move(schedule)), sampling_(std::move(sampling)) {}

  void neighborhood(std::int64_t round, Rank rank, Neighborhood& result) const {
    schedule_.neighborhood(round, rank, result);
    if (!sampling_.is_active(round, rank)) result.out.clear();
    std::erase_if(result.in,
                  [&](const Neighbor& sender) { return !sampling_.is_active(round, sender.rank); });
  }

 private:
  Schedule schedule_;
  Sampling sampling_;
};

/// The same with matrices made once, where a period is short enough.
Schedule tabulated(const Schedule& schedule) {
  if (schedule.period() == 0 || schedule.period() > kRoundsExamined) return schedule;
  std::vector<MixingMatrix> matrices;
  for (int round = 0; round < schedule.period(); ++round) {
    matrices.push_back(schedule.matrix(round));
  }
  return {schedule.name(), std::move(matrices)};
}

using List = std::vector<Neighbor> Neighborhood::*;

/// Each rank shares evenly among itself and the neighbors of one list: `in` makes rows sum to 1,
/// `out` columns.
Schedule even_weights(const Schedule& schedule, const Sampling& sampling, std::string name,
                      int period, List shared) {
  const Arcs arcs(schedule, sampling);
  const List other = shared == &Neighborhood::in ? &Neighborhood::out : &Neighborhood::in;
  return tabulated({std::move(name), schedule.size(), period,
                    [=](std::int64_t round, Rank rank, Neighborhood& result) {
                      arcs.neighborhood(round, rank, result);
                      result.self_weight = even_share((result.*shared).size());
                      for (Neighbor& neighbor : result.*shared) {
                        neighbor.weight = result.self_weight;
                      }
                      for (Neighbor& neighbor : result.*other) {
                        Neighborhood theirs;
                        arcs.neighborhood(round, neighbor.rank, theirs);
                        neighbor.weight = even_share((theirs.*shared).size());
                      }
                    },
                    schedule.degree_bound()});
}

/// Of a schedule and a sampling together; 0 when it never repeats, or hardly ever.
int common_period(const Schedule& schedule, const Sampling& sampling) {
  constexpr std::int64_t kLongest = 100'000;
  if (schedule.period() == 0 || sampling.period() == 0) return 0;
  const auto period = std::lcm(static_cast<std::int64_t>(schedule.period()),
                               static_cast<std::int64_t>(sampling.period()));
  return period <= kLongest ? static_cast<int>(period) : 0;
}

Schedule sampled(const Schedule& schedule, const Sampling& sampling, List shared) {
  GOSSIP_CHECK(schedule.size() == sampling.size(),
               "The topology '{}' is for {} ranks, but the sampling '{}' for {}.", schedule.name(),
               schedule.size(), sampling.name(), sampling.size());
  return even_weights(schedule, sampling,
                      fmt::format("{} with {} active", schedule.name(), sampling.name()),
                      common_period(schedule, sampling), shared);
}

}  // namespace

Schedule with_row_weights(const Schedule& schedule) {
  if (all_matrices(schedule, &MixingMatrix::is_row_stochastic)) return schedule;
  return even_weights(schedule, Sampling::everyone(schedule.size()), schedule.name(),
                      schedule.period(), &Neighborhood::in);
}

Schedule with_column_weights(const Schedule& schedule) {
  if (all_matrices(schedule, &MixingMatrix::is_column_stochastic)) return schedule;
  return even_weights(schedule, Sampling::everyone(schedule.size()), schedule.name(),
                      schedule.period(), &Neighborhood::out);
}

Sampling::Sampling(std::string name, int size, int period, Function is_active)
    : name_(std::move(name)), size_(size), period_(period), function_(std::move(is_active)) {}

Sampling::Sampling(int size, std::vector<std::vector<Rank>> sets)
    : name_("sets"), size_(size), period_(static_cast<int>(sets.size())) {
  GOSSIP_CHECK(!sets.empty(), "A sampling needs at least one set of active ranks.");
  for (const std::vector<Rank>& set : sets) {
    for (const Rank rank : set) {
      GOSSIP_CHECK(rank >= 0 && rank < size,
                   "Rank {} is in a set of active ranks, but ranks are 0 to {}.", rank, size - 1);
    }
  }
  const auto shared = std::make_shared<const std::vector<std::vector<Rank>>>(std::move(sets));
  function_ = [shared](std::int64_t round, Rank rank) {
    const auto& set = (*shared)[static_cast<std::size_t>(round) % shared->size()];
    return std::ranges::find(set, rank) != set.end();
  };
}

Sampling Sampling::everyone(int size) {
  return {"everyone", size, 1, [](std::int64_t, Rank) { return true; }};
}

Sampling Sampling::uniform(int size, int count, std::uint64_t seed) {
  GOSSIP_CHECK(count >= 1 && count <= size,
               "{} of {} ranks cannot be active in a round: at least 1 and at most all.", count,
               size);
  return {fmt::format("{} of {}", count, size), size, 0, [=](std::int64_t round, Rank rank) {
            // Selection sampling: each rank in turn, with the chance that fills the places left.
            SplitMix64 random = SplitMix64::at(seed, static_cast<std::uint64_t>(round));
            int places = count;
            for (Rank candidate = 0; candidate <= rank; ++candidate) {
              const bool is_taken = random.below(static_cast<std::uint64_t>(size - candidate)) <
                                    static_cast<std::uint64_t>(places);
              if (candidate == rank) return is_taken;
              if (is_taken) --places;
            }
            return false;
          }};
}

Schedule sampled_rows(const Schedule& schedule, const Sampling& sampling) {
  return sampled(schedule, sampling, &Neighborhood::in);
}

Schedule sampled_columns(const Schedule& schedule, const Sampling& sampling) {
  return sampled(schedule, sampling, &Neighborhood::out);
}

}  // namespace gossip::topology
