// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/host_list.h>
#include <libgossip/topology/switches.h>

namespace gossip::topology {
namespace {

std::string lower_case(std::string_view text) {
  std::string result;
  for (const char c : text) {
    result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return result;
}

constexpr std::size_t kMostNames = std::size_t{1} << 20U;  // as of one list

struct Switch {
  std::string name = {};
  int line = 0;
  std::vector<std::string> nodes = {};
  std::vector<std::string> switches = {};
};

/// Reads one file, line by line.
class SwitchReader {
 public:
  SwitchReader(std::istream& stream, std::string name) : stream_(stream), name_(std::move(name)) {}

  /// All nodes, depth first, a tree after the other.
  std::vector<std::string> read() {
    for (auto line = next_line(); line; line = next_line()) read_line(*line);
    GOSSIP_CHECK(!stream_.bad(), "{}: cannot be read", name_);
    GOSSIP_CHECK(!switches_.empty(), "{}: no switch in it", name_);
    return nodes_in_order();
  }

 private:
  [[noreturn]] void fail(int line, std::string_view message) const {
    throw Error(fmt::format("{}:{}: {}", name_, line, message));
  }

  /// Lines that end with a backslash are one with the next.
  std::optional<std::string> next_line() {
    std::string whole;
    std::string line;
    first_line_ = line_ + 1;
    while (std::getline(stream_, line)) {
      ++line_;
      line.resize(std::min(line.size(), line.find('#')));
      while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0) {
        line.pop_back();
      }
      const bool goes_on = line.ends_with('\\');
      if (goes_on) line.pop_back();
      whole += line;
      if (!goes_on) return whole;
    }
    return whole.empty() ? std::nullopt : std::optional(whole);
  }

  void read_line(const std::string& line) {
    std::istringstream words(line);
    Switch read{.line = first_line_};
    bool is_empty = true;
    for (std::string word; words >> word; is_empty = false) read_pair(word, read);
    if (is_empty) return;
    if (read.name.empty()) fail(first_line_, "no SwitchName=; a line describes one switch");
    if (read.nodes.empty() == read.switches.empty()) {
      fail(first_line_,
           fmt::format("switch '{}' needs Nodes= or Switches=, one of both", read.name));
    }
    const auto [known, is_new] = numbers_.insert({read.name, switches_.size()});
    if (!is_new) {
      fail(first_line_,
           fmt::format("switch '{}' repeats line {}", read.name, switches_[known->second].line));
    }
    num_names_ += read.nodes.size() + read.switches.size();
    if (num_names_ > kMostNames) fail(first_line_, "more than 1048576 names in the file");
    switches_.push_back(std::move(read));
  }

  void read_pair(const std::string& word, Switch& result) const {
    const auto equals = word.find('=');
    const std::string key = lower_case(word.substr(0, equals));
    if (equals == std::string::npos || equals + 1 == word.size()) {
      fail(first_line_, fmt::format("'{}' is not KEY=VALUE", word));
    }
    const std::string value = word.substr(equals + 1);
    if (key == "switchname") {
      result.name = value;
    } else if (key == "nodes") {
      result.nodes = expand(value);
    } else if (key == "switches") {
      result.switches = expand(value);
    } else if (key != "linkspeed") {
      fail(first_line_, fmt::format("'{}' is none of SwitchName, Nodes, Switches, LinkSpeed: only "
                                    "Slurm's topology/tree is understood",
                                    word.substr(0, equals)));
    }
  }

  [[nodiscard]] std::vector<std::string> expand(const std::string& list) const {
    try {
      return expand_host_list(list);
    } catch (const Error& error) {
      fail(first_line_, error.what());
    }
  }

  /// Fails unless the switches are a forest; visits each once.
  std::vector<std::string> nodes_in_order() {
    std::vector<bool> is_below(switches_.size(), false);
    for (const Switch& parent : switches_) {
      for (const std::string& child : parent.switches) {
        const auto found = numbers_.find(child);
        if (found == numbers_.end()) {
          fail(parent.line, fmt::format("there is no switch '{}'", child));
        }
        if (is_below[found->second]) {
          fail(parent.line, fmt::format("switch '{}' is below another one already", child));
        }
        is_below[found->second] = true;
      }
    }
    std::vector<std::string> nodes;
    std::size_t num_visited = 0;
    for (std::size_t root = 0; root < switches_.size(); ++root) {
      if (!is_below[root]) num_visited += visit(switches_[root], nodes);
    }
    if (num_visited < switches_.size())
      fail(line_, "some switches are below one another in a ring");
    return nodes;
  }

  /// The number of switches in the tree.
  std::size_t visit(const Switch& root, std::vector<std::string>& nodes) {
    std::size_t count = 0;
    for (std::vector<const Switch*> open{&root}; !open.empty(); ++count) {
      const Switch& next = *open.back();
      open.pop_back();
      nodes.insert(nodes.end(), next.nodes.begin(), next.nodes.end());
      for (auto child = next.switches.rbegin(); child != next.switches.rend(); ++child) {
        open.push_back(&switches_[numbers_.at(*child)]);
      }
    }
    return count;
  }

  std::istream& stream_;
  std::string name_;
  int line_ = 0;
  int first_line_ = 0;  // of the switch under way
  std::vector<Switch> switches_;
  std::size_t num_names_ = 0;
  std::map<std::string, std::size_t> numbers_;
};

std::string short_name(const std::string& name) { return name.substr(0, name.find('.')); }

}  // namespace

Hosts ordered_by_switches(const Hosts& hosts, std::istream& stream, const std::string& name) {
  std::map<std::string, std::size_t> places;
  for (const std::string& node : SwitchReader(stream, name).read()) {
    places.insert({node, places.size()});  // where a node is named twice, the first place counts
  }
  std::vector<std::pair<std::size_t, int>> order;
  for (int host = 0; host < hosts.num_hosts(); ++host) {
    auto place = places.find(hosts.name(host));
    if (place == places.end()) place = places.find(short_name(hosts.name(host)));
    GOSSIP_CHECK(place != places.end(),
                 "Host '{}' is not in {}: every host of the job must be below a switch",
                 hosts.name(host), name);
    order.emplace_back(place->second, host);
  }
  std::ranges::sort(order);
  std::vector<int> numbers;
  for (const auto& [place, host] : order) numbers.push_back(host);
  return hosts.reordered(numbers);
}

Hosts ordered_by_switches(const Hosts& hosts, const std::string& path) {
  std::ifstream stream(path);
  GOSSIP_CHECK(stream.is_open(), "Cannot open the file of switches '{}'", path);
  return ordered_by_switches(hosts, stream, path);
}

}  // namespace gossip::topology
