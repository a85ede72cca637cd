// SPDX-License-Identifier: Apache-2.0
// What the communication thread does for a channel between hosts, under the network's mutex:
// offers, grants, credits and what moves; network_channel.cpp has its user's side.
#include <algorithm>
#include <cstring>

#include <libgossip/base/error.h>
#include <libgossip/transport/network_channel.h>

namespace gossip::transport {

void NetworkChannel::send(Rank to, const Network::Record& record) {
  network_.send(members_->in_network(to), record);
}

void NetworkChannel::on_offer(Rank from, const Network::Record& offer) {
  Arrival& arrival = peer(from).arrivals.emplace_back();
  ++peer(from).received;
  arrival.header = offer.header;
  arrival.slot = offer.slot;
  if (offer.header.bytes == 0) {
    complete(from, arrival);  // a header alone needs no slot: it is here
  } else if (offer.slot >= 0) {
    mover_.expect(members_->in_network(from), filling(offer.slot, offer.header.bytes, offer.stamp,
                                                      static_cast<std::uint64_t>(offer.slot)));
  } else {
    ++waiting_;
  }
}

void NetworkChannel::complete(Rank from, Arrival& arrival) {
  arrival.is_complete = true;
  if (is_latest()) drop_older(from);
}

void NetworkChannel::drop_older(Rank from) {
  Peer& sender = peer(from);
  while (sender.arrivals.size() > 1 && sender.arrivals[1].is_complete) {
    const int slot = sender.arrivals.front().slot;
    if (!(sender.is_reading && sender.reading == slot)) free_receive_slot_of(slot);
    sender.arrivals.erase(sender.arrivals.begin());
  }
}

void NetworkChannel::on_arrived(int slot) {
  const Rank from = filled_by_[static_cast<std::size_t>(slot)];
  Peer& sender = peer(from);
  const auto arrival = std::ranges::find_if(sender.arrivals, [&](const Arrival& candidate) {
    return candidate.slot == slot && !candidate.is_complete;
  });
  GOSSIP_ASSERT(arrival != sender.arrivals.end(), "slot {} of rank {}", slot, from);
  if (is_latest()) {
    std::memcpy(&arrival->header, receive_memory_->slot(slot).data(), sizeof(arrival->header));
    check_header(arrival->header, members_->in_network(from));
  }
  complete(from, *arrival);
}

void NetworkChannel::on_grant(Rank from, const Network::Record& grant) {
  const auto departure = std::ranges::find_if(departures_, [&](const Departure& candidate) {
    return candidate.to == from && candidate.header.sequence == grant.header.sequence;
  });
  GOSSIP_ASSERT(departure != departures_.end(), "a grant for message {} to rank {}",
                grant.header.sequence, from);
  if (is_latest()) {
    departure->slot = newest_;
    departure->header = newest_header_;
    peer(from).posted = newest_header_.sequence;
    ++send_slots_[static_cast<std::size_t>(newest_)].departures;
  }
  put(*departure, grant.slot, grant.stamp);
}

void NetworkChannel::on_credit(Rank from, const Network::Record& credit) {
  peer(from).credits.push_back({credit.slot, credit.stamp});
}

/// Starts to fill the receiver's slot.
void NetworkChannel::put(Departure& departure, int slot, std::uint64_t stamp) {
  departure.transfer = ++transfers_;
  SlotMemory& source = *send_slots_[static_cast<std::size_t>(departure.slot)].memory;
  mover_.put(members_->in_network(departure.to),
             source.slot(0).first(prefix_bytes() + departure.header.bytes),
             filling(slot, filling_bytes(departure.header), stamp, departure.transfer));
}

void NetworkChannel::on_sent(std::uint64_t transfer) {
  const auto departure = std::ranges::find(departures_, transfer, &Departure::transfer);
  --send_slots_[static_cast<std::size_t>(departure->slot)].departures;
  departures_.erase(departure);
}

bool NetworkChannel::advance() {
  if (!is_open_ || is_closing_) return false;
  const bool has_lent = lend();
  const bool has_offered = offer();
  return grant() || has_offered || has_lent;
}

void NetworkChannel::offer_newest() {
  for (const Rank to : correspondents_) {
    if (peer(to).posted == newest_header_.sequence) continue;
    if (std::ranges::find(departures_, to, &Departure::to) != departures_.end()) continue;
    peer(to).posted = newest_header_.sequence;
    departures_.push_back({.to = to, .slot = -1, .header = newest_header_});
  }
}

bool NetworkChannel::offer() {
  if (is_latest() && newest_ >= 0) offer_newest();
  bool has_moved = false;
  for (Peer& receiver : peers_) receiver.is_blocked = false;
  for (std::size_t i = 0; i < departures_.size(); ++i) {
    Departure& departure = departures_[i];
    if (departure.is_offered || !offer(departure)) continue;
    has_moved = true;
    if (departure.header.bytes > 0) continue;
    if (departure.slot >= 0) --send_slots_[static_cast<std::size_t>(departure.slot)].departures;
    departures_.erase(departures_.begin() + static_cast<std::ptrdiff_t>(i--));
  }
  return has_moved;
}

/// False when it has to wait for a credit, or for an earlier message that does.
bool NetworkChannel::offer(Departure& departure) {
  Peer& receiver = peer(departure.to);
  const bool needs_credit = has_credits_ && departure.header.bytes > 0;
  receiver.is_blocked |= needs_credit && receiver.credits.empty();
  if (receiver.is_blocked) return false;
  departure.is_offered = true;
  ++receiver.offered;
  Network::Record record{
      .kind = Network::RecordKind::kOffer, .channel = number_, .header = departure.header};
  if (needs_credit) {
    const Credit credit = receiver.credits.front();
    receiver.credits.erase(receiver.credits.begin());
    record.slot = credit.slot;
    record.stamp = credit.stamp;
    send(departure.to, record);
    put(departure, credit.slot, credit.stamp);
  } else {
    send(departure.to, record);
  }
  return true;
}

/// Gives each free receive slot to the peer that it belongs to.
bool NetworkChannel::lend() {
  if (!has_credits_ || correspondents_.empty()) return false;
  bool has_moved = false;
  for (std::size_t slot = 0; slot < filled_by_.size(); ++slot) {
    if (filled_by_[slot] >= 0) continue;
    const Rank to = correspondents_[slot % correspondents_.size()];
    filled_by_[slot] = to;
    send(to, {.kind = Network::RecordKind::kCredit,
              .channel = number_,
              .slot = static_cast<std::int32_t>(slot),
              .stamp = ++stamps_[slot]});
    has_moved = true;
  }
  return has_moved;
}

bool NetworkChannel::may_grant(const Peer& peer, std::size_t arrival) const {
  return is_latest() || !options().has_rounds || (peer.is_wanted && arrival == 0) ||
         peer.arrivals[arrival].header.round <= committed_round_;
}

int NetworkChannel::free_receive_slot(Rank from) const {
  const auto is_free = [&](std::size_t slot) { return filled_by_[slot] < 0; };
  if (!is_latest()) {
    const auto free = std::ranges::find(filled_by_, -1);
    return free == filled_by_.end() ? -1 : static_cast<int>(free - filled_by_.begin());
  }
  const auto place = std::ranges::lower_bound(correspondents_, from);
  if (place == correspondents_.end() || *place != from) return -1;  // it has no place here
  const auto first = 2 * static_cast<std::size_t>(place - correspondents_.begin());
  if (is_free(first)) return static_cast<int>(first);
  return is_free(first + 1) ? static_cast<int>(first + 1) : -1;
}

/// At most one message of each sender, in turn, so that none starves.
bool NetworkChannel::grant() {
  if (waiting_ == 0) return false;
  bool has_moved = false;
  const auto count = static_cast<Rank>(peers_.size());
  const Rank first = granted_last_ + 1;
  for (Rank turn = 0; turn < count; ++turn) {
    const Rank from = (first + turn) % count;
    Peer& sender = peer(from);
    const auto arrival = std::ranges::find_if(sender.arrivals, [](const Arrival& candidate) {
      return !candidate.is_complete && candidate.slot < 0;
    });
    if (arrival == sender.arrivals.end()) continue;
    const auto place = static_cast<std::size_t>(arrival - sender.arrivals.begin());
    const int slot = may_grant(sender, place) ? free_receive_slot(from) : -1;
    if (slot < 0) continue;
    grant(from, *arrival, slot);
    granted_last_ = from;
    has_moved = true;
  }
  return has_moved;
}

void NetworkChannel::grant(Rank from, Arrival& arrival, int slot) {
  const auto index = static_cast<std::size_t>(slot);
  --waiting_;
  arrival.slot = slot;
  filled_by_[index] = from;
  const std::uint64_t stamp = ++stamps_[index];
  mover_.expect(members_->in_network(from),
                filling(slot, filling_bytes(arrival.header), stamp, index));
  send(from, {.kind = Network::RecordKind::kGrant,
              .channel = number_,
              .header = arrival.header,
              .slot = slot,
              .stamp = stamp});
}

}  // namespace gossip::transport
