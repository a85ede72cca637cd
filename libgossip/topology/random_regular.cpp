// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <utility>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/topology/families.h>

namespace gossip::topology {
namespace {

constexpr int kSwapsPerEdge = 20;
constexpr int kMaxAttempts = 1000;

/// The edges of a random graph and a table of which exist.
class EdgeSwaps {
 public:
  /// Starts from the circulant graph: i with i +- 1 .. i +- degree/2, and with i + size/2 for an
  /// odd degree.
  EdgeSwaps(int size, int degree)
      : size_(size), exists_(static_cast<std::size_t>(size) * static_cast<std::size_t>(size), 0) {
    for (int offset = 1; offset <= degree / 2; ++offset) {
      for (Rank rank = 0; rank < size; ++rank) add({rank, (rank + offset) % size});
    }
    for (Rank rank = 0; degree % 2 == 1 && rank < size / 2; ++rank) add({rank, rank + size / 2});
  }

  [[nodiscard]] const std::vector<Arc>& edges() const noexcept { return edges_; }

  /// Replaces two random edges a-b, c-d by a-d, c-b, which keeps all degrees, unless that would
  /// give a loop or a double edge.
  void swap_two(SplitMix64& random) {
    Arc& first = edges_[random.below(edges_.size())];
    Arc& second = edges_[random.below(edges_.size())];
    const bool turns_second = random.below(2) == 1;
    const Arc other = turns_second ? Arc{second.receiver, second.sender} : second;
    const Arc new_first{first.sender, other.receiver};
    const Arc new_second{other.sender, first.receiver};
    if (!is_free(new_first) || !is_free(new_second)) return;
    mark(first, 0);
    mark(second, 0);
    first = new_first;
    second = new_second;
    mark(first, 1);
    mark(second, 1);
  }

 private:
  [[nodiscard]] std::size_t index(Rank a, Rank b) const {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(size_) +
           static_cast<std::size_t>(b);
  }

  [[nodiscard]] bool is_free(Arc edge) const {
    return edge.sender != edge.receiver && exists_[index(edge.sender, edge.receiver)] == 0;
  }

  void mark(Arc edge, char value) {
    exists_[index(edge.sender, edge.receiver)] = value;
    exists_[index(edge.receiver, edge.sender)] = value;
  }

  void add(Arc edge) {
    edges_.push_back(edge);
    mark(edge, 1);
  }

  int size_;
  std::vector<Arc> edges_;
  std::vector<char> exists_;
};

/// "3 or 5" for a degree that does not fit `size`: the nearest ones that do.
std::string nearest_degrees(int size, int degree) {
  const auto fits = [size](int candidate) {
    return candidate >= 2 && candidate < size && (size % 2 == 0 || candidate % 2 == 0);
  };
  if (size <= 2) return fmt::format("{}", size - 1);
  std::string result;
  int below = degree < size ? degree - 1 : size - 1;
  while (below >= 2 && !fits(below)) --below;
  if (below >= 2) result = fmt::format("{}", below);
  int above = degree < 1 ? 2 : degree + 1;
  while (above < size && !fits(above)) ++above;
  if (above < size) result += fmt::format("{}{}", result.empty() ? "" : " or ", above);
  return result;
}

void check_degree(int size, int degree) {
  GOSSIP_CHECK(size >= 1, "Topology 'random-regular' needs at least 1 rank, not {}", size);
  const char* wrong = nullptr;
  if (degree < 0 || degree >= size) {
    wrong = "a degree must lie below the number of ranks";
  } else if (degree % 2 == 1 && size % 2 == 1) {
    wrong = "the number of ranks times the degree must be even";
  } else if (degree < 2 && size > degree + 1) {
    wrong = "so few edges cannot connect all ranks";
  }
  GOSSIP_CHECK(wrong == nullptr,
               "There is no connected graph of {} ranks with {} neighbors each: {}; for {} ranks "
               "take {} neighbors",
               size, degree, wrong, size, nearest_degrees(size, degree));
}

}  // namespace

Graph random_regular(int size, int degree, std::uint64_t seed) {
  check_degree(size, degree);
  SplitMix64 random(seed);
  EdgeSwaps swaps(size, degree);
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    const std::size_t num_swaps = swaps.edges().size() * static_cast<std::size_t>(kSwapsPerEdge);
    for (std::size_t i = 0; i < num_swaps; ++i) swaps.swap_two(random);
    Graph graph = Graph::undirected(size, swaps.edges(), "random-regular");
    if (graph.is_strongly_connected()) return graph;
  }
  throw Error(
      fmt::format("No connected graph of {} ranks with {} neighbors each was found in {} attempts "
                  "with seed {}; take more neighbors or another seed",
                  size, degree, kMaxAttempts, seed));
}

}  // namespace gossip::topology
