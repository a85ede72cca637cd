// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/host_list.h>
#include <libgossip/base/numbers.h>

namespace gossip {
namespace {

// Larger than any cluster, small enough for a list that was mistyped to cost nothing.
constexpr std::size_t kMostNames = std::size_t{1} << 20U;
constexpr std::string_view kTooManyNames = "it stands for more than 1048576 names";
constexpr std::size_t kMostCharacters = std::size_t{1} << 26U;  // of all names together
constexpr std::size_t kMostDigits = 64;

/// Reads one list from its beginning to its end.
class HostListReader {
 public:
  explicit HostListReader(std::string_view list) : list_(list) {}

  std::vector<std::string> read() {
    std::vector<std::string> names;
    std::size_t length = 0;
    while (position_ < list_.size()) {
      const std::vector<std::string> more = read_item();
      length += characters(more);
      check_size(names.size() + more.size(), length);
      names.insert(names.end(), more.begin(), more.end());
      if (position_ == list_.size()) break;
      ++position_;  // the comma
      check(position_ < list_.size(), "a comma at the end");
    }
    return names;
  }

 private:
  void check(bool holds, std::string_view what) const {
    GOSSIP_CHECK(holds, "'{}' is not a list of hosts such as node[1-4,7]: {}", list_, what);
  }

  void check_size(std::size_t names, std::size_t characters) const {
    check(names <= kMostNames, kTooManyNames);
    check(characters <= kMostCharacters,
          fmt::format("its names have more than {} characters together", kMostCharacters));
  }

  static std::size_t characters(const std::vector<std::string>& names) {
    const auto add = [](std::size_t sum, const std::string& name) { return sum + name.size(); };
    return std::accumulate(names.begin(), names.end(), std::size_t{0}, add);
  }

  /// What stands between two commas outside of brackets.
  std::vector<std::string> read_item() {
    std::vector<std::string> names{""};
    const std::size_t begin = position_;
    while (position_ < list_.size() && list_[position_] != ',') {
      check(list_[position_] != ']', "']' without '['");
      if (list_[position_] == '[') {
        names = products(names, read_brackets());
      } else {
        const std::size_t end = std::min(list_.find_first_of("[],", position_), list_.size());
        names = products(names, {std::string(list_.substr(position_, end - position_))});
        position_ = end;
      }
    }
    check(position_ > begin, "an empty name");
    return names;
  }

  std::vector<std::string> products(const std::vector<std::string>& left,
                                    const std::vector<std::string>& right) const {
    check_size(left.size() * right.size(),
               right.size() * characters(left) + left.size() * characters(right));
    std::vector<std::string> result;
    for (const std::string& begin : left) {
      for (const std::string& end : right) result.push_back(begin + end);
    }
    return result;
  }

  /// "[1-3,7]" as 1, 2, 3, 7.
  std::vector<std::string> read_brackets() {
    const std::size_t end = list_.find(']', position_);
    check(end != std::string_view::npos, "'[' without ']'");
    std::string_view rest = list_.substr(position_ + 1, end - position_ - 1);
    position_ = end + 1;
    std::vector<std::string> numbers;
    while (true) {
      const std::size_t comma = rest.find(',');
      append_range(numbers, rest.substr(0, comma));
      if (comma == std::string_view::npos) return numbers;
      rest.remove_prefix(comma + 1);
    }
  }

  [[nodiscard]] std::size_t number(std::string_view text) const {
    const auto value = parse_number<std::size_t>(text);
    check(value && !text.starts_with('+'), fmt::format("'{}' is no number", text));
    check(text.size() <= kMostDigits,
          fmt::format("a number of {} digits, more than {}", text.size(), kMostDigits));
    return *value;
  }

  /// "08-10" as 08, 09, 10; "7" as 7.
  void append_range(std::vector<std::string>& numbers, std::string_view range) const {
    const std::size_t dash = range.find('-');
    const std::string_view low = range.substr(0, dash);
    const std::size_t first = number(low);
    const std::size_t last =
        dash == std::string_view::npos ? first : number(range.substr(dash + 1));
    check(first <= last, fmt::format("{} runs backwards", range));
    const std::size_t more = last - first;  // behind the first: the count itself may overflow
    check(more < kMostNames - std::min(numbers.size(), kMostNames), kTooManyNames);
    for (std::size_t offset = 0; offset <= more; ++offset) {
      numbers.push_back(fmt::format("{:0{}}", first + offset, low.size()));
    }
  }

  std::string_view list_;
  std::size_t position_ = 0;
};

}  // namespace

std::vector<std::string> expand_host_list(std::string_view list) {
  return HostListReader(list).read();
}

}  // namespace gossip
