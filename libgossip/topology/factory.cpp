// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/base/numbers.h>
#include <libgossip/base/suggest.h>
#include <libgossip/topology/factory.h>
#include <libgossip/topology/families.h>
#include <libgossip/topology/hierarchical.h>
#include <libgossip/topology/read.h>
#include <libgossip/topology/schedules.h>
#include <libgossip/topology/switches.h>
#include <libgossip/topology/weights.h>

namespace gossip::topology {
namespace {

constexpr int kDefaultDegree = 4;

constexpr std::array kNames{
    TopologyName{"ring", "i with i - 1 and i + 1"},
    TopologyName{"directed-ring", "i receives from i - 1"},
    TopologyName{"path", "i with i + 1, without the closing edge"},
    TopologyName{"star", "everybody with rank 0"},
    TopologyName{"complete", "everybody with everybody: the exact average in every round"},
    TopologyName{
        "grid:SIDES",
        "rows and columns, as square as the number of ranks allows (SIDES: other ones, such "
        "as 3x5 or 2x3x4)"},
    TopologyName{"torus:SIDES", "the grid with edges around all ways"},
    TopologyName{"hypercube", "i with i xor 2^b; the number of ranks must be a power of two"},
    TopologyName{"binary-tree", "i with (i - 1) div 2"},
    TopologyName{"static-exponential", "i receives from i - 2^b for all b"},
    TopologyName{"symmetric-exponential", "i with i - 2^b and i + 2^b for all b"},
    TopologyName{"random-regular:DEGREE",
                 "a random connected graph, every rank with DEGREE neighbors (default 4)"},
    TopologyName{"one-peer-exponential", "i receives from i - 2^b, another b in each round"},
    TopologyName{"random-matching", "random pairs, new ones in each round"},
    TopologyName{"hierarchical-ring:CONF",
                 "everybody inside a host, one edge between neighboring hosts (CONF: Slurm's "
                 "topology.conf, for their order)"},
    TopologyName{"hierarchical-exponential:CONF",
                 "everybody inside a host, one edge between hosts h and h + 2^b for all b"},
    TopologyName{"hierarchical-one-peer:CONF",
                 "by turns each host's average, and an edge from host h - 2^b to host h"},
    TopologyName{"file:PATH", "a list of edges or a mixing matrix from a file"},
    TopologyName{"lazy:NAME", "a static topology with the weights (I + W) / 2"},
};

struct NamedGraph {
  std::string_view name;
  Graph (*make)(int size);
};

constexpr std::array kGraphs{
    NamedGraph{"ring", ring},
    NamedGraph{"directed-ring", directed_ring},
    NamedGraph{"path", path},
    NamedGraph{"star", star},
    NamedGraph{"complete", complete},
    NamedGraph{"grid", grid},
    NamedGraph{"torus", torus},
    NamedGraph{"hypercube", hypercube},
    NamedGraph{"binary-tree", binary_tree},
    NamedGraph{"static-exponential", static_exponential},
    NamedGraph{"symmetric-exponential", symmetric_exponential},
};

struct HierarchicalGraph {
  std::string_view name;
  Graph (*make)(const Hosts& hosts);
};

constexpr std::array kHierarchicalGraphs{
    HierarchicalGraph{"hierarchical-ring", hierarchical_ring},
    HierarchicalGraph{"hierarchical-exponential", hierarchical_exponential},
};

/// A name as typed, split at its first colon.
struct Request {
  std::string_view full;
  std::string_view base;
  std::optional<std::string_view> parameter;
};

Request split(std::string_view name) {
  const auto colon = name.find(':');
  if (colon == std::string_view::npos) return {name, name, std::nullopt};
  return {name, name.substr(0, colon), name.substr(colon + 1)};
}

std::vector<std::string> base_names() {
  std::vector<std::string> names;
  for (const TopologyName& known : kNames) names.emplace_back(split(known.name).base);
  return names;
}

constexpr std::string_view kHierarchicalOnePeer = "hierarchical-one-peer";

bool is_schedule(std::string_view base) {
  return base == "one-peer-exponential" || base == "random-matching" ||
         base == kHierarchicalOnePeer;
}

const HierarchicalGraph* find_hierarchical(std::string_view base) {
  const auto* const found = std::ranges::find(kHierarchicalGraphs, base, &HierarchicalGraph::name);
  return found != kHierarchicalGraphs.end() ? found : nullptr;
}

void check_no_parameter(const Request& request) {
  GOSSIP_CHECK(!request.parameter, "Topology '{}' takes no parameter, but '{}' gives '{}'",
               request.base, request.full, *request.parameter);
}

int degree_of(const Request& request, int size) {
  if (!request.parameter) return std::min(kDefaultDegree, size - 1);
  const auto degree = parse_number<int>(*request.parameter);
  GOSSIP_CHECK(degree && *degree >= 1,
               "Topology '{}' needs a number of neighbors after the colon, {}, such as "
               "random-regular:4",
               request.full, expected_number(1, size - 1));
  return *degree;
}

bool has_sides(std::string_view base) { return base == "grid" || base == "torus"; }

int side_of(const Request& request, std::string_view word, int size) {
  int side = 0;
  const char* end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, side);
  GOSSIP_CHECK(error != std::errc::result_out_of_range,
               "Topology '{}' has a side of {}, which is no number of ranks: the sides must "
               "multiply to {}",
               request.full, word, size);
  GOSSIP_CHECK(error == std::errc() && rest == end,
               "Topology '{}' needs its sides after the colon, whole numbers with an x between "
               "them, such as {}:3x5 or {}:2x3x4",
               request.full, request.base, request.base);
  GOSSIP_CHECK(side >= 1, "Topology '{}' has a side of {}: all must be at least 1", request.full,
               side);
  return side;
}

/// "4x8" of a grid or a torus.
std::vector<int> sides_of(const Request& request, int size) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  std::vector<int> sides;
  std::int64_t ranks = 1;
  std::string_view rest = *request.parameter;
  for (;;) {
    const std::size_t end = rest.find('x');
    sides.push_back(side_of(request, rest.substr(0, end), size));
    ranks = std::min(kMost + 1, ranks * sides.back());
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  GOSSIP_CHECK(sides.size() > 1,
               "Topology '{}' has one side only: take '{}', or more sides, such as {}:3x5",
               request.full, request.base == "grid" ? "path" : "ring", request.base);
  GOSSIP_CHECK(ranks == size,
               "Topology '{}' has {}{} ranks, but there are {}: the sides must multiply to that, "
               "or take '{}', which chooses them",
               request.full, ranks > kMost ? "more than " : "", std::min(ranks, kMost), size,
               request.base);
  return sides;
}

TopologyFile file_of(const Request& request, int size) {
  GOSSIP_CHECK(request.parameter && !request.parameter->empty(),
               "Topology '{}' needs a path after the colon, such as file:edges.txt", request.full);
  TopologyFile file = read_topology(std::string(*request.parameter));
  GOSSIP_CHECK(file.graph.size() == size, "Topology file '{}' is for {} ranks, but there are {}",
               *request.parameter, file.graph.size(), size);
  return file;
}

/// The hosts for a two-level topology, in the order of the file that is its parameter.
Hosts hosts_for(const Request& request, int size, const Hosts& hosts) {
  GOSSIP_CHECK(!hosts.is_known() || hosts.size() == size,
               "Topology '{}' is for {} ranks, but the hosts are those of {}", request.full, size,
               hosts.size());
  GOSSIP_CHECK(!request.parameter || !request.parameter->empty(),
               "Topology '{}' needs the path of a topology.conf after the colon, or no colon",
               request.full);
  if (!request.parameter || !hosts.is_known()) return hosts;
  return ordered_by_switches(hosts, std::string(*request.parameter));
}

}  // namespace

std::span<const TopologyName> topology_names() { return kNames; }

Graph make_graph(std::string_view name, int size, std::uint64_t seed, const Hosts& hosts) {
  GOSSIP_CHECK(size >= 1, "Topology '{}' needs at least 1 rank, not {}", name, size);
  const Request request = split(name);
  if (request.base == "random-regular") {
    return random_regular(size, degree_of(request, size), seed);
  }
  if (request.base == "file") return file_of(request, size).graph;
  if (has_sides(request.base) && request.parameter) {
    const std::vector<int> sides = sides_of(request, size);
    return request.base == "grid" ? grid_of(sides) : torus_of(sides);
  }
  GOSSIP_CHECK(!is_schedule(request.base) && request.base != "lazy",
               "'{}' is not one graph; take a static topology such as static-exponential", name);
  if (const auto* const two_level = find_hierarchical(request.base)) {
    return two_level->make(hosts_for(request, size, hosts));
  }
  const auto* const known = std::find_if(kGraphs.begin(), kGraphs.end(),
                                         [&](const auto& g) { return g.name == request.base; });
  if (known == kGraphs.end()) throw Error(unknown_name("topology", request.base, base_names()));
  check_no_parameter(request);
  return known->make(size);
}

Schedule make_schedule(std::string_view name, int size, std::uint64_t seed, const Hosts& hosts) {
  GOSSIP_CHECK(size >= 1, "Topology '{}' needs at least 1 rank, not {}", name, size);
  const Request request = split(name);
  if (request.base == kHierarchicalOnePeer) {
    return hierarchical_one_peer(hosts_for(request, size, hosts));
  }
  if (is_schedule(request.base)) {
    check_no_parameter(request);
    return request.base == "random-matching" ? random_matching(size, seed)
                                             : one_peer_exponential(size);
  }
  if (request.base == "file") return file_of(request, size).schedule();
  if (request.base == "lazy") {
    GOSSIP_CHECK(request.parameter, "Topology 'lazy' needs a name after the colon: lazy:ring");
    const Schedule plain = make_schedule(*request.parameter, size, seed, hosts);
    GOSSIP_CHECK(plain.period() == 1, "'{}': only a static topology can be lazy", name);
    return {lazy(plain.matrix(0)), std::string(name)};
  }
  const Graph graph = make_graph(name, size, seed, hosts);
  if (find_hierarchical(request.base) == nullptr) return graph;
  return {hierarchical_weights(graph, hosts), graph.name()};
}

}  // namespace gossip::topology
