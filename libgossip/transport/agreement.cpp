// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/transport/agreement.h>

namespace gossip::transport {

namespace {

/// The first lines in which two different texts differ.
std::pair<std::string_view, std::string_view> first_difference(std::string_view a,
                                                               std::string_view b) {
  while (true) {
    const std::size_t a_end = a.find('\n');
    const std::size_t b_end = b.find('\n');
    const std::string_view a_line = a.substr(0, a_end);
    const std::string_view b_line = b.substr(0, b_end);
    const bool is_last = a_end == std::string_view::npos || b_end == std::string_view::npos;
    if (a_line != b_line || is_last) return {a_line, b_line};
    a.remove_prefix(a_end + 1);
    b.remove_prefix(b_end + 1);
  }
}

/// The first rank that has not what rank 0 has; 0: none.
template <class T>
std::size_t first_other(const std::vector<T>& all) {
  const auto other = std::ranges::find_if(all, [&](const T& one) { return !(one == all[0]); });
  return other == all.end() ? 0 : static_cast<std::size_t>(other - all.begin());
}

struct Fingerprint {
  std::size_t size;
  std::size_t hash;
  bool operator==(const Fingerprint&) const = default;
};

[[noreturn]] void fail(std::string_view what, std::string_view of_first, std::size_t rank,
                       std::string_view of_other) {
  const auto [first, other] = first_difference(of_first, of_other);
  throw JointError(
      fmt::format("The ranks disagree on the {}: rank 0 has {}, rank {} has {}. All ranks must be "
                  "started with the same settings.",
                  what, first, rank, other));
}

}  // namespace

/// All ranks tell a fingerprint, and two of them their texts when these differ: all the texts of
/// many ranks would take more memory than there is.
void require_agreement(Group& group, std::string_view what, std::string_view text) {
  if (group.size() == 1) return;
  const std::size_t other =
      first_other(group.all_gather(Fingerprint{text.size(), std::hash<std::string_view>{}(text)}));
  if (other == 0) return;
  const auto rank = static_cast<std::size_t>(group.rank());
  const std::vector<std::string> all =
      group.all_gather(rank == 0 || rank == other ? text : std::string_view());
  fail(what, all[0], other, all[other]);
}

void require_agreement(const std::vector<std::string>& texts, std::string_view what) {
  if (const std::size_t other = first_other(texts); other > 0) {
    fail(what, texts[0], other, texts[other]);
  }
}

void check_together(Group& group, const std::function<void()>& check) {
  std::string failure;
  try {
    check();
  } catch (const std::exception& error) {
    failure = *error.what() == '\0' ? "an error without a message" : error.what();
  }
  const std::vector<std::string> failures =
      group.size() == 1 ? std::vector{failure} : group.all_gather(failure);
  for (std::size_t rank = 0; rank < failures.size(); ++rank) {
    if (failures[rank].empty()) continue;
    throw JointError(rank == 0 ? failures[0] : fmt::format("On rank {}: {}", rank, failures[rank]));
  }
}

}  // namespace gossip::transport
