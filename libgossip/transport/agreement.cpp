// SPDX-License-Identifier: Apache-2.0
#include <exception>
#include <string>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/transport/agreement.h>

namespace gossip::transport {

void require_agreement(Group& group, std::string_view what, std::string_view text) {
  if (group.size() == 1) return;
  const std::vector<std::string> texts = group.all_gather(text);
  for (std::size_t rank = 1; rank < texts.size(); ++rank) {
    if (texts[rank] == texts[0]) continue;
    throw JointError(fmt::format(
        "The ranks disagree on the {}: rank 0 has {}, rank {} has {}. All ranks must be "
        "started with the same settings.",
        what, texts[0], rank, texts[rank]));
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
