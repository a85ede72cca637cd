// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/transport/edge_agreement.h>
#include <libgossip/transport/edges_in_use.h>
#include <libgossip/transport/round_numbers.h>

namespace gossip::transport {
namespace {

bool has_from(const std::vector<Message>& messages, Rank sender) {
  return std::ranges::binary_search(messages, sender, {}, &Message::from);
}

}  // namespace

EdgeAgreement::EdgeAgreement(Group& group, const topology::Schedule& schedule,
                             const ChannelOptions& options)
    : schedule_(schedule), self_(group.rank()), owed_(static_cast<std::size_t>(group.size()), 0) {
  GOSSIP_ASSERT(options.peers.has_value(), "edges are agreed on with known neighbors");
  peers_ = *options.peers;
  // More than the values have: a rank that closes early is not held up by who reads late.
  channel_ = group.make_channel({.slots = kMostMemorySlots,
                                 .timeout = options.timeout,
                                 .while_waiting = options.while_waiting,
                                 .peers = peers_});
}

std::int64_t EdgeAgreement::agree(std::int64_t round, std::int64_t number,
                                  std::vector<Message>& accepted) {
  round_ = round;
  number_ = number;
  schedule_.neighborhood(round, self_, own_);
  awaited_.clear();  // of a round that failed
  take_late();
  if (own_.in.empty()) return 0;
  const std::size_t before = accepted.size();
  tell(accepted);
  for (const topology::Neighbor& neighbor : own_.in) {
    if (has_from(accepted, neighbor.rank)) {
      awaited_.push_back(neighbor.rank);
    } else {
      ++owed(neighbor.rank);
      ++num_owed_;
    }
  }
  const Deadline deadline(channel_->options().timeout);
  while (!awaited_.empty()) take_next(deadline, accepted);
  polled_.clear();
  return static_cast<std::int64_t>(before - accepted.size());
}

void EdgeAgreement::tell(const std::vector<Message>& accepted) {
  receivers_.clear();
  for (const topology::Neighbor& neighbor : own_.out) receivers_.push_back(neighbor.rank);
  static_cast<void>(channel_->acquire(receivers_));
  channel_->commit({.round = number_, .accepted = edges_in_use(own_.in, [&](Rank rank) {
                                        return has_from(accepted, rank);
                                      })});
}

/// Those that owe words may need the room for what others wait for.
void EdgeAgreement::take_next(const Deadline& deadline, std::vector<Message>& accepted) {
  list_polled();
  try {
    const std::optional<Message> message = channel_->next_any(polled_, deadline);
    if (!message) throw channel_->lateness_of((awaited_.empty() ? polled_ : awaited_).front());
    take(message->header(), message->from(), accepted);
  } catch (...) {
    polled_.clear();  // the wait is over
    throw;
  }
}

/// Words of one rank come in the order of its rounds.
void EdgeAgreement::take(const Header& header, Rank sender, std::vector<Message>& accepted) {
  const bool is_awaited = std::ranges::binary_search(awaited_, sender);
  if (!is_awaited || header.round < number_) {
    if (owed(sender) == 0) return;  // of a step that failed here
    --owed(sender);
    --num_owed_;
    return;
  }
  RoundNumbers::check(sender, header.round, self_, number_);
  num_owed_ -= std::exchange(owed(sender), 0);  // nothing, or what a failed step there never told
  std::erase(awaited_, sender);
  schedule_.neighborhood(round_, sender, theirs_);
  if (is_in_use(header.accepted, theirs_.in, self_)) return;
  std::erase_if(accepted, [&](const Message& value) { return value.from() == sender; });
}

void EdgeAgreement::list_polled() {
  polled_.clear();
  for (const Rank peer : peers_) {
    if (owed(peer) > 0 || std::ranges::binary_search(awaited_, peer)) polled_.push_back(peer);
  }
}

/// A wait that polls takes them itself.
void EdgeAgreement::take_late() {
  if (num_owed_ == 0 || !polled_.empty()) return;
  for (const Rank peer : peers_) {
    while (owed(peer) > 0 && channel_->try_next(peer)) {
      --owed(peer);
      --num_owed_;
    }
  }
}

void EdgeAgreement::drain() {
  awaited_.clear();
  std::vector<Message> none;
  const Deadline deadline(channel_->options().timeout);
  try {
    while (num_owed_ > 0) take_next(deadline, none);
  } catch (...) {
    forget();
    throw;
  }
  polled_.clear();
}

void EdgeAgreement::forget() {
  std::ranges::fill(owed_, 0);
  num_owed_ = 0;
  polled_.clear();
}

}  // namespace gossip::transport
