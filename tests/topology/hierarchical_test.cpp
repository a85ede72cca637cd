// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include <libgossip/base/random.h>
#include <libgossip/topology/checks.h>
#include <libgossip/topology/hierarchical.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/spectral.h>
#include <libgossip/topology/weights.h>

#include "topology_test_support.h"

namespace gossip::topology {
namespace {

/// `counts[h]` ranks on host h, host by host.
Hosts blocks(const std::vector<int>& counts) {
  std::vector<std::string> host_of;
  for (std::size_t host = 0; host < counts.size(); ++host) {
    host_of.insert(host_of.end(), static_cast<std::size_t>(counts[host]), std::to_string(host));
  }
  return Hosts(host_of);
}

Hosts even(int hosts, int ranks) {
  return blocks(std::vector<int>(static_cast<std::size_t>(hosts), ranks));
}

/// Many hosts, one, even and uneven, with ranks next to each other and scattered.
std::vector<Hosts> all_placements() {
  std::vector<Hosts> result;
  for (int hosts = 1; hosts <= 6; ++hosts) {
    for (int ranks = 1; ranks <= 5; ++ranks) result.push_back(even(hosts, ranks));
  }
  result.push_back(blocks({8, 8, 8, 7}));
  result.push_back(blocks({1, 5, 2}));
  result.push_back(blocks({4, 1}));
  result.push_back(even(9, 2));
  SplitMix64 random(3);
  for (int i = 0; i < 10; ++i) {
    std::vector<std::string> host_of;
    for (int rank = 0; rank < 17; ++rank) host_of.push_back(std::to_string(random.below(5)));
    result.emplace_back(host_of);
  }
  return result;
}

std::string described(const Hosts& hosts) {
  std::string text = "hosts of the ranks:";
  for (Rank rank = 0; rank < hosts.size(); ++rank) {
    text += ' ' + std::to_string(hosts.host_of(rank));
  }
  return text;
}

/// Edges of a rank to other hosts.
int far_degree(const Graph& graph, const Hosts& hosts, Rank rank) {
  const auto& others = graph.in_neighbors(rank);
  return static_cast<int>(std::count_if(others.begin(), others.end(), [&](Rank other) {
    return hosts.host_of(other) != hosts.host_of(rank);
  }));
}

void expect_two_levels(const Graph& graph, const Graph& between, const Hosts& hosts) {
  for (int host = 0; host < hosts.num_hosts(); ++host) {
    int least = graph.size();
    int most = 0;
    int sum = 0;
    for (const Rank rank : hosts.ranks_on(host)) {
      for (const Rank other : hosts.ranks_on(host)) {
        EXPECT_EQ(graph.has_arc(rank, other), rank != other);
      }
      const int degree = far_degree(graph, hosts, rank);
      least = std::min(least, degree);
      most = std::max(most, degree);
      sum += degree;
    }
    EXPECT_LE(most - least, 1) << "ranks of host " << host << " do not share its edges evenly";
    EXPECT_EQ(sum, static_cast<int>(between.in_neighbors(host).size()));
  }
  for (Rank rank = 0; rank < graph.size(); ++rank) {
    for (const Rank other : graph.in_neighbors(rank)) {
      const int a = hosts.host_of(rank);
      const int b = hosts.host_of(other);
      EXPECT_TRUE(a == b || between.has_arc(a, b)) << rank << ' ' << other;
    }
  }
}

TEST(HierarchicalGraphs, AreCompleteInsideAHostAndHaveOneEdgeBetweenTwo) {
  for (const Hosts& hosts : all_placements()) {
    SCOPED_TRACE(described(hosts));
    expect_two_levels(hierarchical_ring(hosts), ring(hosts.num_hosts()), hosts);
    expect_two_levels(hierarchical_exponential(hosts), symmetric_exponential(hosts.num_hosts()),
                      hosts);
  }
}

TEST(HierarchicalGraphs, HaveSymmetricDoublyStochasticWeights) {
  for (const Hosts& hosts : all_placements()) {
    SCOPED_TRACE(described(hosts));
    for (const Graph& graph : {hierarchical_ring(hosts), hierarchical_exponential(hosts)}) {
      const MixingMatrix matrix = hierarchical_weights(graph, hosts);

      EXPECT_TRUE(matrix.is_doubly_stochastic());
      EXPECT_TRUE(matrix.is_symmetric());
      EXPECT_TRUE(graph.is_strongly_connected());
      EXPECT_EQ(arcs_between_hosts(matrix, hosts, 0), arcs_between_hosts(graph, hosts, 0));
      EXPECT_GT(spectral_constants(matrix).gap, 1e-3);
      for (Rank rank = 0; rank < graph.size(); ++rank) EXPECT_GT(matrix.self_weight(rank), 0.0);
    }
  }
}

TEST(HierarchicalGraphs, MixFasterThanTheRingAndThanMetropolisWeights) {
  for (const int ranks : {3, 4, 8}) {  // with 2 it is the ring
    for (int num_hosts = 2; num_hosts <= 6; ++num_hosts) {
      SCOPED_TRACE(std::to_string(num_hosts) + " hosts with " + std::to_string(ranks) + " ranks");
      const Hosts hosts = even(num_hosts, ranks);
      const Graph graph = hierarchical_ring(hosts);
      const double gap = spectral_constants(hierarchical_weights(graph, hosts)).gap;

      EXPECT_GT(gap, spectral_constants(metropolis(graph)).gap);
      if (num_hosts > 2) {  // of two hosts the ring has two edges, this one
        EXPECT_GT(gap, spectral_constants(metropolis(ring(hosts.size()))).gap);
      }
      EXPECT_LT(gap, 1.0) << "the complete graph's";
      EXPECT_LE(arcs_between_hosts(graph, hosts, 0),
                arcs_between_hosts(ring(hosts.size()), hosts, 0));
    }
  }
}

TEST(HierarchicalGraphs, ArePlainWithOneHostOrOneRankAHost) {
  for (int size = 1; size <= 9; ++size) {
    const Hosts one = even(1, size);
    const Hosts each = even(size, 1);
    EXPECT_NEAR(spectral_constants(hierarchical_weights(hierarchical_ring(one), one)).rho, 0,
                1e-12);
    const auto rows = hierarchical_weights(hierarchical_ring(each), each).rows();
    const auto plain = metropolis(ring(size)).rows();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t j = 0; j < rows.size(); ++j) EXPECT_NEAR(rows[i][j], plain[i][j], 1e-12);
    }
  }
}

TEST(HierarchicalWeights, RefuseOtherGraphs) {
  const Hosts hosts = even(2, 2);
  test::expect_error([&] { (void)hierarchical_weights(directed_ring(4), hosts); },
                     {"directed-ring", "undirected graph of the 4 ranks"});
  test::expect_error([&] { (void)hierarchical_weights(ring(5), hosts); }, {"ring", "5 ranks"});
}

TEST(HierarchicalOnePeer, IsDoublyStochasticConnectsAndRepeats) {
  for (const Hosts& hosts : all_placements()) {
    SCOPED_TRACE(described(hosts));
    const Schedule schedule = hierarchical_one_peer(hosts);

    EXPECT_NO_THROW(validate_doubly_stochastic(schedule));
    EXPECT_NO_THROW(validate_connected(schedule));
    ASSERT_GT(schedule.period(), 0);
    for (int round = 0; round < 4; ++round) {
      EXPECT_EQ(schedule.matrix(round).rows(), schedule.matrix(round + schedule.period()).rows());
    }
    EXPECT_LT(contraction_over_period(schedule), 0.9999);
  }
}

TEST(HierarchicalOnePeer, AveragesHostsAndThenJoinsThemByTurns) {
  for (const Hosts& hosts : all_placements()) {
    if (hosts.num_hosts() == 1 || hosts.num_hosts() == hosts.size()) continue;
    SCOPED_TRACE(described(hosts));
    const Schedule schedule = hierarchical_one_peer(hosts);
    std::vector<std::vector<Rank>> groups;
    for (int host = 0; host < hosts.num_hosts(); ++host) groups.push_back(hosts.ranks_on(host));
    const auto averages = average_within(hosts.size(), groups).rows();
    std::vector<int> times(static_cast<std::size_t>(hosts.size()), 0);
    Neighborhood own;

    for (int round = 0; round < schedule.period(); ++round) {
      if (round % 2 == 0) {
        ASSERT_EQ(schedule.matrix(round).rows(), averages);
        continue;
      }
      EXPECT_EQ(arcs_between_hosts(schedule, hosts, round), hosts.num_hosts());
      EXPECT_EQ(schedule.matrix(round).is_doubly_stochastic(), true);
      for (Rank rank = 0; rank < hosts.size(); ++rank) {
        schedule.neighborhood(round, rank, own);
        ASSERT_LE(own.in.size(), 1U);
        times[static_cast<std::size_t>(rank)] += static_cast<int>(own.in.size());
      }
    }
    for (int host = 0; host < hosts.num_hosts(); ++host) {
      for (const Rank rank : hosts.ranks_on(host)) {
        EXPECT_EQ(times[static_cast<std::size_t>(rank)],
                  times[static_cast<std::size_t>(hosts.ranks_on(host).front())])
            << "rank " << rank << " of host " << host << " carries another share";
      }
    }
  }
}

TEST(HierarchicalOnePeer, IsPlainWithOneHostOrOneRankAHost) {
  for (int size = 1; size <= 9; ++size) {
    const Schedule one = hierarchical_one_peer(even(1, size));
    EXPECT_EQ(one.period(), 1);
    EXPECT_NEAR(spectral_constants(one.matrix(0)).rho, 0.0, 1e-12);

    const Schedule each = hierarchical_one_peer(even(size, 1));
    const Schedule plain = one_peer_exponential(size);
    ASSERT_EQ(each.period(), plain.period());
    if (size == 1) continue;
    for (int round = 0; round < each.period(); ++round) {
      EXPECT_EQ(each.matrix(round).rows(), plain.matrix(round).rows());
    }
  }
}

TEST(HierarchicalOnePeer, NeverRepeatsWhereThatTakesLong) {
  const Hosts hosts = blocks({2, 3, 5, 7, 11, 13});
  const Schedule schedule = hierarchical_one_peer(hosts);

  EXPECT_EQ(schedule.period(), 0);
  EXPECT_EQ(schedule.degree_bound(), 12);
  EXPECT_NO_THROW(validate_doubly_stochastic(schedule));
  EXPECT_NO_THROW(validate_connected(schedule));
}

// The figures of docs/topologies.md.
TEST(HierarchicalTopologies, AreAsTheDocumentationSays) {
  const Hosts hosts = even(4, 8);
  const Graph ring_of_hosts = hierarchical_ring(hosts);
  const Graph exponential = hierarchical_exponential(hosts);

  EXPECT_NEAR(spectral_constants(hierarchical_weights(ring_of_hosts, hosts)).gap, 0.0431, 5e-5);
  EXPECT_NEAR(spectral_constants(hierarchical_weights(exponential, hosts)).gap, 0.0893, 5e-5);
  EXPECT_NEAR(spectral_constants(metropolis(ring(32))).gap, 0.0128, 5e-5);
  EXPECT_EQ(arcs_between_hosts(ring_of_hosts, hosts, 0), 8);
  EXPECT_EQ(arcs_between_hosts(exponential, hosts, 0), 12);
  EXPECT_EQ(arcs_between_hosts(ring(32), hosts, 0), 8);
  EXPECT_EQ(exponential.num_arcs(), 4 * 8 * 7 + 12);
  const Schedule one_peer = hierarchical_one_peer(hosts);
  EXPECT_EQ(one_peer.period(), 16);
  EXPECT_NEAR(std::pow(product_norm(one_peer, 160), 1.0 / 160), 0.9672, 5e-5);
}

TEST(HierarchicalTopologies, NeedHosts) {
  const Hosts unknown;
  for (const auto make : {hierarchical_ring, hierarchical_exponential}) {
    test::expect_error([&] { (void)make(unknown); }, {"hierarchical-", "not known", "hosts_of"});
  }
  test::expect_error([&] { (void)hierarchical_one_peer(unknown); },
                     {"hierarchical-one-peer", "not known", "hosts_of"});
}

}  // namespace
}  // namespace gossip::topology
