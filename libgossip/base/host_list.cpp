// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/host_list.h>

namespace gossip {
namespace {

constexpr std::size_t kMostNames = 1'000'000;

/// Reads one list from its beginning to its end.
class HostListReader {
 public:
  explicit HostListReader(std::string_view list) : list_(list) {}

  std::vector<std::string> read() {
    std::vector<std::string> names;
    while (position_ < list_.size()) {
      const std::vector<std::string> more = read_item();
      names.insert(names.end(), more.begin(), more.end());
      check(names.size() <= kMostNames, "more than a million names");
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

  /// What stands between two commas outside of brackets.
  std::vector<std::string> read_item() {
    std::vector<std::string> names{""};
    const std::size_t begin = position_;
    while (position_ < list_.size() && list_[position_] != ',') {
      check(list_[position_] != ']', "']' without '['");
      if (list_[position_] == '[') {
        names = products(names, read_brackets());
      } else {
        for (std::string& name : names) name += list_[position_];
        ++position_;
      }
    }
    check(position_ > begin, "an empty name");
    return names;
  }

  std::vector<std::string> products(const std::vector<std::string>& left,
                                    const std::vector<std::string>& right) const {
    check(left.size() * right.size() <= kMostNames, "more than a million names");
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
    std::size_t value = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    check(error == std::errc() && rest == text.data() + text.size(),
          fmt::format("'{}' is no number", text));
    return value;
  }

  /// "08-10" as 08, 09, 10; "7" as 7.
  void append_range(std::vector<std::string>& numbers, std::string_view range) const {
    const std::size_t dash = range.find('-');
    const std::string_view low = range.substr(0, dash);
    const std::size_t first = number(low);
    const std::size_t last =
        dash == std::string_view::npos ? first : number(range.substr(dash + 1));
    check(first <= last, fmt::format("{} runs backwards", range));
    check(last - first < kMostNames, "more than a million names");
    for (std::size_t value = first; value <= last; ++value) {
      numbers.push_back(fmt::format("{:0{}}", value, low.size()));
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
