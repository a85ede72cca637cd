// SPDX-License-Identifier: Apache-2.0
#include <exception>
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

}  // namespace

void require_agreement(Group& group, std::string_view what, std::string_view text) {
  if (group.size() > 1) require_agreement(group.all_gather(text), what);
}

void require_agreement(const std::vector<std::string>& texts, std::string_view what) {
  for (std::size_t rank = 1; rank < texts.size(); ++rank) {
    if (texts[rank] == texts[0]) continue;
    const auto [first, other] = first_difference(texts[0], texts[rank]);
    throw JointError(fmt::format(
        "The ranks disagree on the {}: rank 0 has {}, rank {} has {}. All ranks must be "
        "started with the same settings.",
        what, first, rank, other));
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
