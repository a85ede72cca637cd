// SPDX-License-Identifier: Apache-2.0
#include <libgossip/base/error.h>
#include <libgossip/transport/agreement.h>

namespace gossip::transport {

void require_agreement(Group& group, std::string_view what, std::string_view text) {
  if (group.size() == 1) return;
  const std::vector<std::string> texts = group.all_gather(text);
  for (std::size_t rank = 1; rank < texts.size(); ++rank) {
    GOSSIP_CHECK(texts[rank] == texts[0],
                 "The ranks disagree on the {}: rank 0 has {}, rank {} has {}. All ranks must be "
                 "started with the same settings.",
                 what, texts[0], rank, texts[rank]);
  }
}

void check_together(Group& group, const std::function<void()>& check) {
  std::string failure;
  try {
    check();
  } catch (const Error& error) {
    failure = error.what();
  }
  if (group.size() == 1) {
    GOSSIP_CHECK(failure.empty(), "{}", failure);
    return;
  }
  const std::vector<std::string> failures = group.all_gather(failure);
  GOSSIP_CHECK(failure.empty(), "{}", failure);
  for (std::size_t rank = 0; rank < failures.size(); ++rank) {
    GOSSIP_CHECK(failures[rank].empty(), "On rank {}: {}", rank, failures[rank]);
  }
}

}  // namespace gossip::transport
