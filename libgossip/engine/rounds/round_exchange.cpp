// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/engine/rounds/round_exchange.h>
#include <libgossip/transport/edges_in_use.h>

namespace gossip::engine {
namespace {

/// Messages up to this size get a second slot, so that a rank may send its next round before all
/// have read the last: in fast rounds that waiting would show. Beside the time that a larger model
/// computes it does not, but a second copy of the model would.
constexpr std::size_t kSecondSlotBytes = std::size_t{1} << 20U;

/// How often a rank that waits looks who is lost.
constexpr std::chrono::milliseconds kLossesEvery{100};

/// Two messages to each neighbor that may get lost, as far as a channel has room for them. A lost
/// rank may have left more unread of what is pushed to it: its senders need not wait for it.
int slots_of(std::size_t bytes, int most_neighbors, bool may_drop, bool is_pushing) {
  const int slots = bytes <= kSecondSlotBytes ? 2 : 1;
  if (!may_drop) return slots;
  return is_pushing ? transport::kMostMemorySlots
                    : std::min(transport::kMostMemorySlots, slots + 2 * most_neighbors);
}

}  // namespace

RoundExchange::RoundExchange(transport::Group& group, const topology::Matrices& matrices,
                             const topology::MatricesUsed& used, std::size_t bytes,
                             const Patience& patience, Membership* membership,
                             bool closes_as_agreed)
    : group_(group),
      matrices_(matrices),
      used_(used),
      membership_(membership),
      closing_(group.size()),
      last_weights_(static_cast<std::size_t>(group.size()), 0.0) {
  if (group.size() == 1) return;
  peers_ = topology::neighbors_of(group.rank(), matrices_, used_);
  std::ranges::sort(peers_);
  const auto while_waiting = [this, outer = patience.while_waiting] {
    release_owed();  // whose senders may be those that this rank waits for
    if (outer) outer();
  };
  const int senders = topology::most_senders(matrices_, used_);
  channel_ = group.make_channel({.capacity_bytes = bytes,
                                 .slots = slots_of(bytes, senders, may_drop(), used_.push),
                                 .timeout = patience.timeout,
                                 .while_waiting = while_waiting,
                                 .receive_slots = senders,
                                 .peers = peers_});
  if (closes_as_agreed) agreement_.emplace(group, matrices_.pull, channel_->options());
}

void RoundExchange::open(std::int64_t round) {
  polled_.clear();  // of a wait that failed
  round_ = round;
  if (slot_) return;  // to whom it goes is settled
  messages_.clear();  // of a round that failed, too
  find_neighbors(round);
  if (may_drop()) leave_out_lost();
}

void RoundExchange::begin(std::int64_t round, policy::WaitPolicy* wait) {
  open(round);
  number_ = numbers_.next(round);
  wait_ = wait;
  is_skipping_ = false;
}

/// Of the matrices in use, merged.
void RoundExchange::find_neighbors(std::int64_t round) {
  senders_.clear();
  receivers_.clear();
  if (used_.pull) {
    matrices_.pull.neighborhood(round, group_.rank(), pull_);
    for (const topology::Neighbor& sender : pull_.in) {
      senders_.push_back({.rank = sender.rank, .pull = sender.weight});
    }
    for (const topology::Neighbor& receiver : pull_.out) receivers_.push_back(receiver.rank);
  }
  if (used_.push) add_push_neighbors(round);
}

void RoundExchange::add_push_neighbors(std::int64_t round) {
  matrices_.push.neighborhood(round, group_.rank(), push_);
  for (const topology::Neighbor& sender : push_.in) {
    const auto known = std::ranges::find(senders_, sender.rank, &Sender::rank);
    if (known != senders_.end()) {
      known->push = sender.weight;
    } else {
      senders_.push_back({.rank = sender.rank, .push = sender.weight});
    }
  }
  std::ranges::sort(senders_, {}, &Sender::rank);
  for (const topology::Neighbor& receiver : push_.out) {
    if (std::ranges::find(receivers_, receiver.rank) == receivers_.end()) {
      receivers_.push_back(receiver.rank);
    }
  }
}

/// What came from them too late makes room for others; what they would have been pushed stays here.
void RoundExchange::leave_out_lost() {
  discard_late();
  write_off_lost();
  const auto is_lost = [this](Rank rank) { return membership_->is_lost(rank); };
  std::erase_if(receivers_, is_lost);
  std::erase_if(senders_, [&](const Sender& sender) { return is_lost(sender.rank); });
  std::erase_if(push_.out, [&](const topology::Neighbor& receiver) {
    if (std::ranges::find(receivers_, receiver.rank) != receivers_.end()) return false;
    push_.self_weight += receiver.weight;
    return true;
  });
}

/// What the last message to a rank that is lost carried, once.
void RoundExchange::write_off_lost() {
  for (const Rank peer : peers_) {
    if (!membership_->is_lost(peer)) continue;
    counters_.mass_lost += std::exchange(last_weights_[static_cast<std::size_t>(peer)], 0.0);
  }
}

/// What a lost rank sent in any round, but for what this round has taken before it was lost:
/// between hosts it would keep the room that others need.
void RoundExchange::discard_late() {
  for (const Rank peer : peers_) {
    const bool is_taken =
        std::ranges::binary_search(messages_, peer, {}, &transport::Message::from);
    while (membership_->is_lost(peer) && !is_taken && channel_->try_next(peer)) {
    }
  }
}

std::span<std::byte> RoundExchange::slot() {
  if (!slot_) slot_ = acquire();
  return *slot_;
}

/// A slot for `receivers_`, less those that turn out to be lost.
std::span<std::byte> RoundExchange::acquire() {
  const Clock::time_point start = Clock::now();
  Rank blocking = -1;
  for (;;) {
    try {
      const std::span<std::byte> slot = channel_->acquire(receivers_);
      counters_.wait_seconds += seconds_between(start, Clock::now());
      return slot;
    } catch (const TimeoutError& error) {
      if (!may_drop() || error.peer() == blocking) throw;  // also without it
      blocking = error.peer();
      membership_->lose(error.peer(), "read a message", seconds_between(start, Clock::now()));
      leave_out_lost();
    }
  }
}

void RoundExchange::send(std::size_t bytes, double weight) {
  if (receivers_.empty()) {
    // Also who sends nothing says that it is in this round.
    if (!senders_.empty() || slot_) commit({.kind = transport::MessageKind::kSkip});
    return;
  }
  transport::Header header = may_drop() ? header_of_round() : transport::Header{};
  header.weight = weight;
  header.bytes = bytes;
  commit(header);
  counters_.bytes_sent += bytes * receivers_.size();
  if (!may_drop()) return;
  for (const topology::Neighbor& receiver : push_.out) {
    last_weights_[static_cast<std::size_t>(receiver.rank)] = receiver.weight * weight;
  }
}

void RoundExchange::skip() {
  is_skipping_ = true;
  if (!has_neighbors()) return;
  transport::Header header = may_drop() ? membership_->header() : transport::Header{};
  header.kind = transport::MessageKind::kSkip;
  commit(header);
  push_.out.clear();
  push_.self_weight = 1.0;
}

void RoundExchange::commit(transport::Header header) {
  static_cast<void>(slot());
  slot_.reset();
  header.round = number_;
  channel_->commit(header);
}

/// What this rank says of its edges in this round, and holds to.
transport::Header RoundExchange::header_of_round() {
  transport::Header header = membership_->header();
  if (!used_.pull) return header;
  header.uses =
      transport::edges_in_use(pull_.in, [this](Rank rank) { return !membership_->is_lost(rank); });
  header.degree = degree_;
  std::erase_if(senders_, [&](const Sender& sender) {
    return !transport::is_in_use(header.uses, pull_.in, sender.rank);
  });
  return header;
}

void RoundExchange::receive() {
  const Clock::time_point start = Clock::now();
  if (wait_ != nullptr || closing_.is_owed_any()) {
    receive_until_closed();
  } else if (may_drop()) {
    receive_from_the_living();
  } else {
    for (const Sender& sender : senders_) take(channel_->next(sender.rank));
  }
  if (agreement_) {
    if (is_skipping_) messages_.clear();  // accepts nobody
    counters_.left_out += agreement_->agree(round_, number_, messages_);
  }
  if (messages_.size() < senders_.size()) forget_silent();
  if (is_skipping_ && !used_.push) {
    for (Sender& sender : senders_) sender.pull = 0.0;
  }
  if (wait_ == nullptr) closing_.rest();
  counters_.wait_seconds += seconds_between(start, Clock::now());
  degree_ = static_cast<std::uint16_t>(std::min<std::size_t>(senders_.size(), UINT16_MAX));
}

/// In the order in which they come, so that several silent ranks cost one timeout.
void RoundExchange::receive_from_the_living() {
  const Deadline deadline(channel_->options().timeout);
  late_.clear();
  for (const Sender& sender : senders_) late_.push_back(sender.rank);
  while (!late_.empty()) {
    std::optional<transport::Message> message = channel_->next_any(late_, deadline, kLossesEvery);
    message ? take(std::move(*message)) : give_up_late(deadline);
  }
}

/// Each look at the policy sees all that has come until then.
void RoundExchange::receive_until_closed() {
  const Deadline deadline(channel_->options().timeout);
  closing_.open(round_, number_, RunningClock::now());
  late_.clear();
  for (const Sender& sender : senders_) {
    closing_.add(sender.rank);
    late_.push_back(sender.rank);
  }
  std::chrono::milliseconds at_most{0};
  for (list_polled(); !polled_.empty(); list_polled()) {
    std::optional<transport::Message> message = channel_->next_any(polled_, deadline, at_most);
    if (message) {
      take_or_release(std::move(*message));
      at_most = std::chrono::milliseconds(0);
      continue;
    }
    const policy::WaitPolicy::Verdict verdict = closing_.ask(wait_policy(), RunningClock::now());
    if (verdict.closes) return close_round();
    GOSSIP_CHECK(!late_.empty(), "The wait policy does not close a round in which all came.");
    if (deadline.has_passed()) throw channel_->lateness_of(late_.front());
    at_most = policy::RoundClosing::wait_time(verdict.ask_again);
  }
  static_cast<void>(closing_.ask(wait_policy(), RunningClock::now()));
  close_round();
}

/// Leaves out whom the policy does not accept.
void RoundExchange::close_round() {
  const policy::Mask& accepted = closing_.close(wait_policy(), RunningClock::now());
  for (std::size_t m = 0; m < senders_.size(); ++m) {
    if (accepted[m]) continue;
    ++counters_.left_out;
    std::erase_if(messages_, [rank = senders_[m].rank](const transport::Message& message) {
      return message.from() == rank;
    });
  }
  polled_.clear();
}

void RoundExchange::list_polled() {
  if (agreement_) agreement_->take_late();
  polled_.clear();
  for (const Rank peer : peers_) {
    const bool is_late = std::ranges::binary_search(late_, peer);
    if (is_late || closing_.is_owed(peer)) polled_.push_back(peer);
  }
}

/// What has come of it, of neighbors in any round. Those that are owed have no message here yet. A
/// wait that polls takes them itself.
void RoundExchange::release_owed() {
  if (agreement_) agreement_->take_late();
  if (!closing_.is_owed_any() || !polled_.empty()) return;
  for (const Rank peer : peers_) {
    while (closing_.is_owed(peer)) {
      const std::optional<transport::Message> message = channel_->try_next(peer);
      if (!message) break;
      release_late(*message);
    }
  }
}

/// One value of a round that closed without it.
void RoundExchange::release_late(const transport::Message& message) {
  counters_.bytes_received += message.header().bytes;
  closing_.note_late(message.from(), message.header().round, wait_policy(), RunningClock::now());
}

/// What comes from a neighbor whose last rounds were closed without it belongs to them first.
void RoundExchange::take_or_release(transport::Message message) {
  const Rank sender = message.from();
  if (closing_.is_owed(sender) && message.header().round < number_) return release_late(message);
  closing_.forget(sender);  // nothing, or what a step that failed there has never sent
  take(std::move(message));
  closing_.note_arrival(sender, RunningClock::now());
}

void RoundExchange::drain() {
  if (!channel_) return;
  messages_.clear();
  late_.clear();
  const Deadline deadline(channel_->options().timeout);
  try {
    for (list_polled(); !polled_.empty(); list_polled()) {
      const std::optional<transport::Message> message = channel_->next_any(polled_, deadline);
      if (!message) throw channel_->lateness_of(polled_.front());
      release_late(*message);
    }
  } catch (...) {
    for (const Rank peer : peers_) closing_.forget(peer);
    if (agreement_) agreement_->forget();
    throw;
  }
  if (agreement_) agreement_->drain();
}

/// Keeps it in the order of the ranks, however they came, unless its sender skips the round or does
/// not use the edge.
void RoundExchange::take(transport::Message message) {
  const Rank sender = message.from();
  const transport::Header& header = message.header();
  std::erase(late_, sender);
  transport::RoundNumbers::check(sender, header.round, group_.rank(), number_);
  counters_.bytes_received += header.bytes;
  if (may_drop()) membership_->hear(sender, header);
  if (header.kind == transport::MessageKind::kSkip) return;
  if (may_drop() && used_.pull && !is_used_by(sender, header)) return;
  const auto place = std::ranges::upper_bound(messages_, sender, {}, &transport::Message::from);
  messages_.insert(place, std::move(message));
}

/// Those that this rank has waited for as long as it may, and those with which it is known that one
/// has given the other up: they send nothing more.
void RoundExchange::give_up_late(const Deadline& deadline) {
  const bool is_over = deadline.has_passed();
  std::erase_if(late_, [&](Rank rank) {
    const bool is_given_up = is_over || membership_->is_lost(rank);
    if (!is_given_up) return false;
    membership_->lose(rank, "send a message", deadline.elapsed_seconds());
    if (used_.pull) ++counters_.halves_lost;
    return true;
  });
  discard_late();
  write_off_lost();
}

/// The senders of whom nothing is mixed. Of directed rounds the rows are made whole again by their
/// own proportions: even rows stay even.
void RoundExchange::forget_silent() {
  std::erase_if(senders_, [this](const Sender& sender) {
    return !std::ranges::binary_search(messages_, sender.rank, {}, &transport::Message::from);
  });
  if (!used_.pull || !used_.push) return;
  double sum = pull_.self_weight;
  for (const Sender& sender : senders_) sum += sender.pull;
  if (sum <= 0.0) return;  // a row of others only: the own value stays
  pull_.self_weight /= sum;
  for (Sender& sender : senders_) sender.pull /= sum;
}

/// Where neighbors may be dropped: whether the sender uses its edge to this rank.
bool RoundExchange::is_used_by(Rank sender, const transport::Header& header) {
  matrices_.pull.neighborhood(round_, sender, theirs_);
  return transport::is_in_use(header.uses, theirs_.in, group_.rank());
}

}  // namespace gossip::engine
