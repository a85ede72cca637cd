// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/hierarchical.h>
#include <libgossip/topology/weights.h>

namespace gossip::topology {
namespace {

void check_known(const Hosts& hosts, std::string_view topology) {
  GOSSIP_CHECK(hosts.is_known(),
               "Topology '{}' is made from the hosts of the ranks, which are not known here: pass "
               "transport::hosts_of(session), or take a topology without hosts such as "
               "one-peer-exponential",
               topology);
}

/// Rank number `turn` of a host, counted round and round.
Rank carrier(const Hosts& hosts, int host, std::int64_t turn) {
  const std::vector<Rank>& ranks = hosts.ranks_on(host);
  return ranks[static_cast<std::size_t>(turn) % ranks.size()];
}

/// Complete graphs inside the hosts, and an edge of `between` hosts between two of their ranks.
Graph hierarchical(const Hosts& hosts, const Graph& between, std::string name) {
  std::vector<Arc> edges;
  std::vector<int> turns(static_cast<std::size_t>(hosts.num_hosts()), 0);
  const auto next_carrier = [&](int host) {
    return carrier(hosts, host, turns[static_cast<std::size_t>(host)]++);
  };
  for (int host = 0; host < hosts.num_hosts(); ++host) {
    const std::vector<Rank>& ranks = hosts.ranks_on(host);
    for (std::size_t a = 0; a < ranks.size(); ++a) {
      for (std::size_t b = a + 1; b < ranks.size(); ++b) edges.push_back({ranks[a], ranks[b]});
    }
    for (const int other : between.out_neighbors(host)) {
      if (host < other) edges.push_back({next_carrier(host), next_carrier(other)});
    }
  }
  return Graph::undirected(hosts.size(), edges, std::move(name));
}

/// What a rank gives to ranks of other hosts, and to whom.
class Between {
 public:
  Between(const Graph& graph, const Hosts& hosts) : graph_(graph), hosts_(hosts) {}

  [[nodiscard]] bool is_between(Rank a, Rank b) const {
    return hosts_.host_of(a) != hosts_.host_of(b);
  }

  [[nodiscard]] double weight(Rank a, Rank b) const {
    return 1.0 / (1.0 + std::max(degree(a), degree(b)));
  }

  [[nodiscard]] double sum(Rank rank) const {
    double sum = 0.0;
    for (const Rank other : graph_.in_neighbors(rank)) {
      if (is_between(rank, other)) sum += weight(rank, other);
    }
    return sum;
  }

 private:
  /// Edges to other hosts; all of the own host count as one.
  [[nodiscard]] int degree(Rank rank) const {
    const auto& others = graph_.in_neighbors(rank);
    const auto far =
        std::ranges::count_if(others, [&](Rank other) { return is_between(rank, other); });
    return static_cast<int>(far) + (hosts_.ranks_on(hosts_.host_of(rank)).size() > 1 ? 1 : 0);
  }

  const Graph& graph_;
  const Hosts& hosts_;
};

/// Rounds after which hierarchical_one_peer() repeats; 0 when that takes too long to count on.
int period_of(const Hosts& hosts, int num_offsets) {
  constexpr std::int64_t kLongest = 10'000;
  std::int64_t period = num_offsets;
  for (int host = 0; host < hosts.num_hosts() && period <= kLongest; ++host) {
    period = std::lcm(period, static_cast<std::int64_t>(hosts.ranks_on(host).size()));
  }
  return period <= kLongest ? static_cast<int>(2 * period) : 0;
}

/// The neighborhoods of hierarchical_one_peer() on several hosts.
class OnePeerOfHosts {
 public:
  OnePeerOfHosts(Hosts hosts, int num_offsets, bool is_flat)
      : hosts_(std::move(hosts)), num_offsets_(num_offsets), is_flat_(is_flat) {}

  void operator()(std::int64_t round, Rank rank, Neighborhood& result) const {
    result.self_weight = 1.0;
    result.in.clear();
    result.out.clear();
    if (is_flat_) {
      between(round, rank, result);
    } else if (round % 2 == 0) {
      inside(rank, result);
    } else {
      between(round / 2, rank, result);
    }
  }

 private:
  void inside(Rank rank, Neighborhood& result) const {
    const std::vector<Rank>& ranks = hosts_.ranks_on(hosts_.host_of(rank));
    result.self_weight = 1.0 / static_cast<double>(ranks.size());
    for (const Rank other : ranks) {
      if (other == rank) continue;
      result.in.push_back({other, result.self_weight});
      result.out.push_back({other, result.self_weight});
    }
  }

  void between(std::int64_t turn, Rank rank, Neighborhood& result) const {
    const int host = hosts_.host_of(rank);
    if (carrier(hosts_, host, turn) != rank) return;
    const int num_hosts = hosts_.num_hosts();
    const int offset = 1 << static_cast<int>(turn % num_offsets_);
    const int from = (host - offset + num_hosts) % num_hosts;
    const int to = (host + offset) % num_hosts;
    result.self_weight = 0.5;
    result.in.push_back({carrier(hosts_, from, turn), 0.5});
    result.out.push_back({carrier(hosts_, to, turn), 0.5});
  }

  Hosts hosts_;
  int num_offsets_;
  bool is_flat_;
};

}  // namespace

Graph hierarchical_ring(const Hosts& hosts) {
  check_known(hosts, "hierarchical-ring");
  return hierarchical(hosts, ring(hosts.num_hosts()), "hierarchical-ring");
}

Graph hierarchical_exponential(const Hosts& hosts) {
  check_known(hosts, "hierarchical-exponential");
  return hierarchical(hosts, symmetric_exponential(hosts.num_hosts()), "hierarchical-exponential");
}

MixingMatrix hierarchical_weights(const Graph& graph, const Hosts& hosts) {
  check_known(hosts, graph.name());
  GOSSIP_CHECK(graph.is_undirected() && graph.size() == hosts.size(),
               "Hierarchical weights need an undirected graph of the {} ranks on these hosts, but "
               "'{}' is {} and of {} ranks",
               hosts.size(), graph.name(), graph.is_undirected() ? "undirected" : "directed",
               graph.size());
  const Between between(graph, hosts);
  std::vector<MixingMatrix::Entry> entries;
  for (int host = 0; host < hosts.num_hosts(); ++host) {
    const std::vector<Rank>& ranks = hosts.ranks_on(host);
    double most = 0.0;
    for (const Rank rank : ranks) most = std::max(most, between.sum(rank));
    const double inside = (1.0 - most) / static_cast<double>(ranks.size());
    for (const Rank rank : ranks) {
      double self_weight = 1.0;
      for (const Rank other : graph.in_neighbors(rank)) {
        const double weight =
            between.is_between(rank, other) ? between.weight(rank, other) : inside;
        entries.push_back({rank, other, weight});
        self_weight -= weight;
      }
      entries.push_back({rank, rank, self_weight});
    }
  }
  return {graph.size(), entries};
}

Schedule hierarchical_one_peer(const Hosts& hosts) {
  constexpr const char* kName = "hierarchical-one-peer";
  check_known(hosts, kName);
  if (hosts.num_hosts() == 1) return {metropolis(complete(hosts.size())), kName};
  const int num_offsets = ceil_log2(hosts.num_hosts());
  const bool is_flat = hosts.num_hosts() == hosts.size();
  std::size_t most = 1;
  for (int host = 0; host < hosts.num_hosts(); ++host) {
    most = std::max(most, hosts.ranks_on(host).size() - 1);
  }
  return {kName, hosts.size(), is_flat ? num_offsets : period_of(hosts, num_offsets),
          OnePeerOfHosts(hosts, num_offsets, is_flat), static_cast<int>(most)};
}

int arcs_between_hosts(const Schedule& schedule, const Hosts& hosts, std::int64_t round) {
  int count = 0;
  Neighborhood own;
  for (Rank rank = 0; rank < schedule.size(); ++rank) {
    schedule.neighborhood(round, rank, own);
    count += static_cast<int>(std::ranges::count_if(own.in, [&](const Neighbor& sender) {
      return hosts.host_of(sender.rank) != hosts.host_of(rank);
    }));
  }
  return count;
}

}  // namespace gossip::topology
