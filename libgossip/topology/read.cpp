// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/numbers.h>
#include <libgossip/topology/read.h>

namespace gossip::topology {
namespace {

/// "0.25" or "1/4".
std::optional<double> parse_weight(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return parse_number<double>(text);
  const auto above = parse_number<double>(text.substr(0, slash));
  const auto below = parse_number<double>(text.substr(slash + 1));
  if (!above || !below || *below == 0.0) return std::nullopt;
  return *above / *below;
}

using Words = std::vector<std::string>;

/// Reads one file, line by line.
class Reader {
 public:
  explicit Reader(std::string name) : name_(std::move(name)) {}

  TopologyFile read(std::istream& stream) {
    std::string line;
    while (std::getline(stream, line)) {
      ++line_;
      std::istringstream text(line.substr(0, line.find('#')));
      Words words;
      for (std::string word; text >> word;) words.push_back(word);
      if (!words.empty()) read_line(words);
    }
    GOSSIP_CHECK(!stream.bad(), "{}: cannot be read", name_);
    return is_matrix_ ? finish_matrix() : finish_edges();
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { fail_at(line_, message); }

  [[noreturn]] void fail_at(int line, const std::string& message) const {
    throw Error(fmt::format("{}:{}: {}", name_, line, message));
  }

  void read_line(const Words& words) {
    const bool is_header = words[0] == "n" || words[0] == "directed" || words[0] == "undirected" ||
                           words[0] == "matrix";
    if (is_header) {
      read_header(words);
    } else if (is_matrix_) {
      read_row(words);
    } else {
      read_edge(words);
    }
  }

  void read_header(const Words& words) {
    if (!edge_lines_.empty() || !rows_.empty()) {
      fail(fmt::format("'{}' must stand before the first edge or row", words[0]));
    }
    if (words.size() != (words[0] == "n" ? 2U : 1U)) {
      fail(words[0] == "n" ? "'n' needs one number: the number of ranks"
                           : fmt::format("'{}' must stand alone on its line", words[0]));
    }
    if (words[0] == "n") {
      size_ = parse_number<int>(words[1]);
      if (!size_ || *size_ < 1 || *size_ > kMaxSize) {
        fail(fmt::format("'{}' is not a number of ranks (1 to {})", words[1], kMaxSize));
      }
    } else if (words[0] == "matrix") {
      is_matrix_ = true;
    } else {
      is_directed_ = words[0] == "directed";
    }
  }

  Rank read_rank(const std::string& word) const {
    const auto rank = parse_number<Rank>(word);
    if (!rank || *rank < 0 || *rank >= size_.value_or(kMaxSize)) {
      fail(fmt::format("'{}' is not a rank (0 to {})", word, size_.value_or(kMaxSize) - 1));
    }
    return *rank;
  }

  double read_weight(const std::string& word) const {
    const auto weight = parse_weight(word);
    if (!weight || !std::isfinite(*weight) || *weight < 0.0) {
      fail(fmt::format("'{}' is not a mixing weight (a number from 0 up such as 0.25 or 1/4)",
                       word));
    }
    return *weight;
  }

  void read_row(const Words& words) {
    const auto expected = size_ ? static_cast<std::size_t>(*size_)
                                : (rows_.empty() ? words.size() : rows_.front().size());
    if (words.size() != expected || rows_.size() == expected) {
      fail(rows_.size() == expected
               ? fmt::format("more than {} rows; a mixing matrix is square", expected)
               : fmt::format("a row of {} numbers, but the matrix needs {}", words.size(),
                             expected));
    }
    std::vector<double> row;
    for (const std::string& word : words) row.push_back(read_weight(word));
    rows_.push_back(std::move(row));
  }

  void read_edge(const Words& words) {
    if (words.size() != 2 && words.size() != 3) {
      fail(
          fmt::format("{} words, but an edge is 'i j' or 'i j weight'; a dense matrix starts with "
                      "the line 'matrix'",
                      words.size()));
    }
    Rank sender = read_rank(words[0]);
    Rank receiver = read_rank(words[1]);
    const bool has_weight = words.size() == 3;
    if (edge_lines_.empty()) is_weighted_ = has_weight;
    if (has_weight != is_weighted_) {
      fail("either every edge has a weight or none has, and the lines before differ");
    }
    if (sender == receiver && !has_weight) {
      fail(fmt::format("edge {0} {0} joins a rank with itself; leave it out", sender));
    }
    if (!is_directed_ && sender > receiver) std::swap(sender, receiver);
    const auto [first, is_new] = edge_lines_.insert({{sender, receiver}, line_});
    if (!is_new) fail(fmt::format("edge {} {} repeats line {}", words[0], words[1], first->second));
    max_rank_ = std::max({max_rank_, sender, receiver});
    const double weight = has_weight ? read_weight(words[2]) : 1.0;
    if (sender == receiver) {
      self_weights_[sender] = weight;
    } else if (weight > 0.0) {
      edges_.push_back({receiver, sender, weight});
      if (!is_directed_) edges_.push_back({sender, receiver, weight});
    }
  }

  TopologyFile finish_edges() {
    if (!size_ && edge_lines_.empty()) fail("no edge and no number of ranks");
    const int size = size_.value_or(max_rank_ + 1);
    if (!is_weighted_) return {graph_of(size), std::nullopt};
    std::vector<double> missing(static_cast<std::size_t>(size), 1.0);
    for (const auto& edge : edges_) missing[static_cast<std::size_t>(edge.receiver)] -= edge.weight;
    auto entries = edges_;
    for (Rank rank = 0; rank < size; ++rank) {
      const auto given = self_weights_.find(rank);
      const double rest = missing[static_cast<std::size_t>(rank)];
      if (given == self_weights_.end() && rest < -kStochasticTolerance) {
        fail(fmt::format("the weights that rank {} receives sum to {}, more than 1", rank,
                         1.0 - rest));
      }
      entries.push_back(
          {rank, rank, given == self_weights_.end() ? std::max(0.0, rest) : given->second});
    }
    return checked({graph_of(size), MixingMatrix(size, entries)});
  }

  TopologyFile finish_matrix() {
    if (rows_.empty() || rows_.size() != rows_.front().size()) {
      fail(fmt::format("the matrix ends after {} rows of {} numbers; a mixing matrix is square",
                       rows_.size(), rows_.empty() ? 0 : rows_.front().size()));
    }
    MixingMatrix matrix(rows_);
    is_directed_ = true;
    for (Rank receiver = 0; receiver < matrix.size(); ++receiver) {
      for (const Neighbor& sender : matrix.row(receiver)) {
        edges_.push_back({receiver, sender.rank, sender.weight});
      }
    }
    return checked({graph_of(matrix.size()), std::move(matrix)});
  }

  [[nodiscard]] Graph graph_of(int size) const {
    std::vector<Arc> arcs;
    for (const auto& edge : edges_) arcs.push_back({edge.sender, edge.receiver});
    return Graph::directed(size, arcs, name_);
  }

  [[nodiscard]] TopologyFile checked(TopologyFile file) const {
    if (!file.matrix->is_column_stochastic()) validate_row_stochastic(*file.matrix, name_);
    return file;
  }

  static constexpr int kMaxSize = 1 << 20;

  std::string name_;
  int line_ = 0;
  bool is_matrix_ = false;
  bool is_directed_ = false;
  bool is_weighted_ = false;
  std::optional<int> size_;
  Rank max_rank_ = 0;
  std::map<std::pair<Rank, Rank>, int> edge_lines_;
  std::vector<MixingMatrix::Entry> edges_;
  std::map<Rank, double> self_weights_;
  std::vector<std::vector<double>> rows_;
};

}  // namespace

Schedule TopologyFile::schedule() const {
  return matrix ? Schedule(*matrix, graph.name()) : Schedule(graph);
}

TopologyFile read_topology(const std::string& path) {
  std::ifstream stream(path);
  GOSSIP_CHECK(stream.is_open(), "Cannot open the topology file '{}'", path);
  return read_topology(stream, path);
}

TopologyFile read_topology(std::istream& stream, const std::string& name) {
  return Reader(name).read(stream);
}

}  // namespace gossip::topology
