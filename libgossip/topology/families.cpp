// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/topology/families.h>

namespace gossip::topology {
namespace {

void check_size(const char* name, int size) {
  GOSSIP_CHECK(size >= 1, "Topology '{}' needs at least 1 rank, not {}", name, size);
}

/// Rows of the grid and the torus: the largest divisor of `size` not above its square root.
int num_rows(int size) {
  int rows = 1;
  for (int divisor = 1; divisor <= size / divisor; ++divisor) {
    if (size % divisor == 0) rows = divisor;
  }
  return rows;
}

std::vector<int> most_square(int size) {
  const int rows = num_rows(size);
  return {rows, size / rows};
}

int product(const std::vector<int>& sides) {
  return std::accumulate(sides.begin(), sides.end(), 1, std::multiplies<>());
}

/// The edges of a grid; with `wraps` also from each last row, column, ... to the first.
std::vector<Arc> grid_edges(const std::vector<int>& sides, bool wraps) {
  const int size = product(sides);
  std::vector<Arc> edges;
  int stride = size;
  for (const int side : sides) {
    stride /= side;
    for (Rank rank = 0; rank < size; ++rank) {
      const int place = rank / stride % side;
      const int next = (place + 1) % side;
      if (next > place || (wraps && next < place)) {
        edges.push_back({rank, rank + (next - place) * stride});
      }
    }
  }
  return edges;
}

/// "torus:4x8". Throws unless there are such ranks.
std::string checked_name(const char* family, const std::vector<int>& sides) {
  std::string name = fmt::format("{}:{}", family, fmt::join(sides, "x"));
  GOSSIP_CHECK(!sides.empty(), "A {} has at least one side, but none was given", family);
  std::int64_t size = 1;
  for (const int side : sides) {
    GOSSIP_CHECK(side >= 1, "Topology '{}' has a side of {}: all must be at least 1", name, side);
    size *= side;
    GOSSIP_CHECK(size <= std::numeric_limits<int>::max(),
                 "Topology '{}' has more ranks than there can be: {} at most", name,
                 std::numeric_limits<int>::max());
  }
  return name;
}

/// The arcs i - 2^b -> i of the exponential graphs.
std::vector<Arc> exponential_arcs(int size) {
  std::vector<Arc> arcs;
  for (Rank rank = 0; rank < size; ++rank) {
    for (int bit = 0; bit < ceil_log2(size); ++bit) {
      arcs.push_back({(rank - (1 << bit) + size) % size, rank});
    }
  }
  return arcs;
}

}  // namespace

int ceil_log2(int size) {
  GOSSIP_CHECK(size >= 1, "The logarithm of {} ranks does not exist", size);
  int result = 0;
  while (result < 30 && (1 << result) < size) ++result;
  return result;
}

Graph complete(int size) {
  check_size("complete", size);
  std::vector<Arc> edges;
  for (Rank a = 0; a < size; ++a) {
    for (Rank b = a + 1; b < size; ++b) edges.push_back({a, b});
  }
  return Graph::undirected(size, edges, "complete");
}

Graph ring(int size) {
  check_size("ring", size);
  std::vector<Arc> edges;
  for (Rank rank = 0; rank < size && size > 1; ++rank) edges.push_back({rank, (rank + 1) % size});
  return Graph::undirected(size, edges, "ring");
}

Graph directed_ring(int size) {
  check_size("directed-ring", size);
  std::vector<Arc> arcs;
  for (Rank rank = 0; rank < size && size > 1; ++rank) arcs.push_back({rank, (rank + 1) % size});
  return Graph::directed(size, arcs, "directed-ring");
}

Graph star(int size) {
  check_size("star", size);
  std::vector<Arc> edges;
  for (Rank rank = 1; rank < size; ++rank) edges.push_back({0, rank});
  return Graph::undirected(size, edges, "star");
}

Graph path(int size) {
  check_size("path", size);
  std::vector<Arc> edges;
  for (Rank rank = 1; rank < size; ++rank) edges.push_back({rank - 1, rank});
  return Graph::undirected(size, edges, "path");
}

Graph grid(int size) {
  check_size("grid", size);
  return Graph::undirected(size, grid_edges(most_square(size), false), "grid");
}

Graph grid_of(const std::vector<int>& sides) {
  const std::string name = checked_name("grid", sides);
  return Graph::undirected(product(sides), grid_edges(sides, false), name);
}

Graph torus(int size) {
  check_size("torus", size);
  return Graph::undirected(size, grid_edges(most_square(size), true), "torus");
}

Graph torus_of(const std::vector<int>& sides) {
  const std::string name = checked_name("torus", sides);
  return Graph::undirected(product(sides), grid_edges(sides, true), name);
}

Graph hypercube(int size) {
  check_size("hypercube", size);
  const auto unsigned_size = static_cast<unsigned>(size);
  GOSSIP_CHECK(std::has_single_bit(unsigned_size),
               "Topology 'hypercube' needs a power of two as the number of ranks, not {}; the "
               "nearest are {} and {}",
               size, std::bit_floor(unsigned_size), std::bit_ceil(unsigned_size));
  std::vector<Arc> edges;
  for (Rank rank = 0; rank < size; ++rank) {
    for (int bit = 1; bit < size; bit *= 2) edges.push_back({rank, rank ^ bit});
  }
  return Graph::undirected(size, edges, "hypercube");
}

Graph binary_tree(int size) {
  check_size("binary-tree", size);
  std::vector<Arc> edges;
  for (Rank rank = 1; rank < size; ++rank) edges.push_back({(rank - 1) / 2, rank});
  return Graph::undirected(size, edges, "binary-tree");
}

Graph static_exponential(int size) {
  check_size("static-exponential", size);
  return Graph::directed(size, exponential_arcs(size), "static-exponential");
}

Graph symmetric_exponential(int size) {
  check_size("symmetric-exponential", size);
  return Graph::undirected(size, exponential_arcs(size), "symmetric-exponential");
}

}  // namespace gossip::topology
