// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/transport/ring_plan.h>

namespace gossip::transport {
namespace {

using Hosts = std::vector<std::vector<Rank>>;

constexpr std::size_t kPieceBytes = 1 << 14;
constexpr std::size_t kMostPieces = 8;

const std::vector<Hosts> kLayouts{
    {{0}, {1}},       {{0}, {1}, {2}, {3}},   {{0, 1}, {2, 3}},
    {{0, 2}, {1, 3}}, {{0, 1, 2}, {3, 4, 5}}, {{0, 1}, {2, 3}, {4, 5}},
    {{0, 1}, {2}},    {{0}, {1, 2}, {3, 4}},  {{3, 2}, {1, 0}, {4, 5}, {7, 6}}};

std::size_t num_ranks(const Hosts& hosts) {
  std::size_t count = 0;
  for (const std::vector<Rank>& host : hosts) count += host.size();
  return count;
}

RingPlan plan_of(const Hosts& hosts, std::size_t rank) {
  return {hosts, static_cast<Rank>(rank), kPieceBytes, kMostPieces};
}

std::vector<RingPlan> plans_of(const Hosts& hosts) {
  std::vector<RingPlan> plans;
  for (std::size_t rank = 0; rank < num_ranks(hosts); ++rank) plans.push_back(plan_of(hosts, rank));
  return plans;
}

/// What each rank holds of each chunk of a block: whose values, as a bit a rank.
using Sums = std::vector<std::vector<unsigned>>;

Sums start_of(const std::vector<RingPlan>& plans) {
  Sums sums;
  for (std::size_t rank = 0; rank < plans.size(); ++rank) {
    sums.emplace_back(plans.size(), 1U << rank);
  }
  return sums;
}

/// Round by round of a pass, all ranks at once; `counts` says what went out from each rank.
template <class Count>
void make_pass(const std::vector<RingPlan>& plans, std::size_t pass, Sums& sums, Count&& count) {
  const RingPass& any = plans[0].passes()[pass];
  std::vector<unsigned> carried(plans.size());
  for (std::size_t round = any.first_round; round < any.end_round; ++round) {
    std::vector<unsigned> arrived(plans.size());
    for (std::size_t rank = 0; rank < plans.size(); ++rank) {
      const RingPass& way = plans[rank].passes()[pass];
      const bool is_first = round == way.first_round;
      const unsigned sent = is_first ? sums[rank][way.chunk(round)] : carried[rank];
      arrived[static_cast<std::size_t>(way.next)] = sent;
      count(rank, way);
    }
    for (std::size_t rank = 0; rank < plans.size(); ++rank) {
      const RingPass& way = plans[rank].passes()[pass];
      unsigned& own = sums[rank][way.chunk(round + 1)];
      if (way.adds(round)) {
        EXPECT_EQ(arrived[rank] & own, 0U) << "a rank's values would count twice";
        arrived[rank] |= own;
      }
      if (way.completes(round)) own = arrived[rank];
      carried[rank] = arrived[rank];
      const unsigned all = (1U << plans.size()) - 1;
      EXPECT_TRUE(!way.makes_means(round) || arrived[rank] == all);
    }
  }
}

TEST(RingPlan, EveryRankEndsWithTheSumOfAllInEveryChunk) {
  for (const Hosts& hosts : kLayouts) {
    const std::size_t ranks = num_ranks(hosts);
    const std::vector<RingPlan> plans = plans_of(hosts);
    Sums sums = start_of(plans);
    int means = 0;

    for (std::size_t pass = 0; pass < plans[0].passes().size(); ++pass) {
      make_pass(plans, pass, sums, [](std::size_t /*rank*/, const RingPass& /*way*/) {});
      const RingPass& way = plans[0].passes()[pass];
      for (std::size_t r = way.first_round; r < way.end_round; ++r) means += way.makes_means(r);
    }

    EXPECT_EQ(sums, Sums(ranks, std::vector<unsigned>(ranks, (1U << ranks) - 1)));
    EXPECT_EQ(means, 1) << "the mean is made once of every chunk";
  }
}

TEST(RingPlan, EqualHostsSendEachOtherOnlyTheSumsOfHosts) {
  for (const Hosts& hosts : kLayouts) {
    const std::size_t ranks = num_ranks(hosts);
    std::vector<std::size_t> host_of(ranks);
    for (std::size_t h = 0; h < hosts.size(); ++h) {
      for (const Rank rank : hosts[h]) host_of[static_cast<std::size_t>(rank)] = h;
    }
    const std::vector<RingPlan> plans = plans_of(hosts);
    Sums sums = start_of(plans);
    std::vector<std::size_t> chunks(hosts.size(), 0);  // that left each host

    for (std::size_t pass = 0; pass < plans[0].passes().size(); ++pass) {
      make_pass(plans, pass, sums, [&](std::size_t rank, const RingPass& way) {
        const std::size_t to = host_of[static_cast<std::size_t>(way.next)];
        if (to != host_of[rank]) ++chunks[host_of[rank]];
      });
    }

    const bool are_equal = std::ranges::all_of(
        hosts, [&](const std::vector<Rank>& host) { return host.size() == hosts[0].size(); });
    const std::size_t size = are_equal ? hosts[0].size() : 1;
    const std::size_t least = 2 * (ranks / size - 1) * size;
    EXPECT_EQ(chunks, std::vector<std::size_t>(hosts.size(), least)) << ranks;
  }
}

TEST(RingPlan, PiecesCoverAVectorOnceAndFitIntoAMessage) {
  for (const Hosts& hosts : kLayouts) {
    const RingPlan plan = plan_of(hosts, 0);
    const std::size_t ranks = num_ranks(hosts);
    for (const std::size_t size : {1U, 5U, 1001U, 32768U, 300007U, 2000003U}) {
      std::vector<double> values(size);
      const VectorView vector{std::span<double>(values)};
      const RingPlan::Cut cut = plan.cut(vector);
      EXPECT_LE(cut.pieces, kMostPieces);
      const double* next = values.data();
      std::size_t largest = 0;

      for (std::size_t block = 0; block < cut.blocks; ++block) {
        for (std::size_t i = 0; i < ranks * cut.pieces; ++i) {
          const VectorView piece = plan.piece(vector, cut, block, i / cut.pieces, i % cut.pieces);
          EXPECT_EQ(piece.data, next);
          next += piece.size;
          largest = std::max(largest, piece.bytes());
        }
      }

      EXPECT_EQ(next, values.data() + size);
      EXPECT_LE(largest, kPieceBytes);
    }
    EXPECT_EQ(plan.cut({}).blocks, 0U);
  }
}

}  // namespace
}  // namespace gossip::transport
