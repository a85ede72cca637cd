// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <exception>
#include <utility>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/transport/network_channel.h>

namespace gossip::transport {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr int kMostSlots = 1024;  // of a receiver: what a message's tag can tell apart
constexpr unsigned kChannelShift = 40;

}  // namespace

NetworkChannel::NetworkChannel(Network& network, std::uint32_t number, Rank self, int size,
                               std::vector<Rank> peers, const ChannelOptions& options)
    : Channel(options, self),
      network_(network),
      number_(number),
      correspondents_(std::move(peers)),
      peers_(static_cast<std::size_t>(size)),
      send_slots_(static_cast<std::size_t>(options.slots)) {
  std::ranges::sort(correspondents_);
  const bool is_latest = options.reading == Reading::kLatest;
  const int slots =
      is_latest ? 2 * static_cast<int>(correspondents_.size()) : options.receive_slots;
  GOSSIP_CHECK(options.slots >= (is_latest ? 2 : 1) && slots <= kMostSlots,
               "A channel cannot have {} slots and {} for what arrives: give it at least {}, and "
               "at most {} for what arrives.",
               options.slots, slots, is_latest ? 2 : 1, kMostSlots);
  receive_memory_ = network_.mover_->make_slots(slots, padded_capacity());
  filled_by_.assign(static_cast<std::size_t>(slots), -1);
  stamps_.assign(static_cast<std::size_t>(slots), 0);
}

std::size_t NetworkChannel::padded_capacity() const {
  return (options().capacity_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

NetworkChannel::~NetworkChannel() {
  if (std::uncaught_exceptions() == 0) {
    try {
      settle();
    } catch (const std::exception&) {
      // What is still under way would write into freed memory.
      static_cast<void>(receive_memory_.release());
      for (SendSlot& slot : send_slots_) static_cast<void>(slot.memory.release());
    }
  } else {
    static_cast<void>(receive_memory_.release());
    for (SendSlot& slot : send_slots_) static_cast<void>(slot.memory.release());
  }
  network_.remove(number_);
}

void NetworkChannel::settle() {
  {
    const std::lock_guard lock(network_.mutex_);
    is_closing_ = true;
  }
  const mpi::Communicator& communicator = network_.mailbox_.communicator();
  communicator.barrier();  // from here on nobody grants
  const auto is_settled = [this] {
    const std::lock_guard lock(network_.mutex_);
    network_.check();
    return !is_under_way();
  };
  const auto settle_own = [&] {
    if (wait_until(Deadline(options().timeout), is_settled)) return;
    throw TimeoutError(-1, "A channel was closed while a granted message did not arrive.");
  };
  settle_own();
  communicator.barrier();  // all that was granted has arrived
  settle_own();            // and its senders know
}

bool NetworkChannel::is_under_way() const {
  const auto is_moving = [](const Departure& departure) { return departure.transfer != 0; };
  if (std::ranges::any_of(departures_, is_moving)) return true;
  const auto is_expected = [](const Arrival& arrival) {
    return arrival.slot >= 0 && !arrival.is_complete;
  };
  return std::ranges::any_of(
      peers_, [&](const Peer& peer) { return std::ranges::any_of(peer.arrivals, is_expected); });
}

std::size_t NetworkChannel::memory_bytes() const {
  std::size_t bytes = receive_memory_->bytes();
  for (const SendSlot& slot : send_slots_) {
    if (slot.memory) bytes += slot.memory->bytes();
  }
  return bytes;
}

// --- the user's side -----------------------------------------------------------------------------

std::optional<std::span<std::byte>> NetworkChannel::try_acquire(std::span<const Rank> to,
                                                                Rank& blocking) {
  const std::lock_guard lock(network_.mutex_);
  network_.check();
  GOSSIP_ASSERT(acquired_ < 0, "slot {} was acquired and never committed", acquired_);
  for (int index = 0; index < options().slots; ++index) {
    SendSlot& slot = send_slots_[static_cast<std::size_t>(index)];
    if (slot.departures > 0 || index == newest_) continue;
    if (!slot.memory) slot.memory = make_private_slots(1, padded_capacity());
    acquired_ = index;
    addressees_.assign(to.begin(), to.end());
    return slot.memory->slot(0).first(options().capacity_bytes);
  }
  if (!departures_.empty()) blocking = departures_.front().to;
  return std::nullopt;
}

void NetworkChannel::commit(const Header& header) {
  {
    const std::lock_guard lock(network_.mutex_);
    GOSSIP_ASSERT(acquired_ >= 0, "a message of round {} was committed before a slot was acquired",
                  header.round);
    GOSSIP_ASSERT(header.bytes <= options().capacity_bytes, "a message of {} bytes in a slot of {}",
                  header.bytes, options().capacity_bytes);
    const int index = std::exchange(acquired_, -1);
    committed_round_ = std::max(committed_round_, header.round);
    if (options().reading == Reading::kLatest) {
      const std::uint64_t sequence = newest_header_.sequence + 1;
      newest_ = index;
      newest_header_ = header;
      newest_header_.sequence = sequence;
    } else {
      for (const Rank to : addressees_) {
        Header own = header;
        own.sequence = ++peer(to).posted;
        departures_.push_back({.to = to, .slot = index, .header = own});
        ++send_slots_[static_cast<std::size_t>(index)].departures;
      }
    }
  }
  network_.background_.wake();
}

void NetworkChannel::cancel() {
  const std::lock_guard lock(network_.mutex_);
  acquired_ = -1;
}

Message NetworkChannel::message(Peer& peer, Rank from, const Arrival& arrival) {
  peer.is_reading = true;
  peer.reading = arrival.slot;
  std::span<const std::byte> payload;
  if (arrival.slot >= 0) payload = receive_memory_->slot(arrival.slot).first(arrival.header.bytes);
  return {*this, from, arrival.slot, arrival.header, payload};
}

std::optional<Message> NetworkChannel::try_next(Rank from) {
  GOSSIP_ASSERT(options().reading == Reading::kNext, "next() on a channel made for latest()");
  const std::lock_guard lock(network_.mutex_);
  network_.check();
  Peer& sender = peer(from);
  GOSSIP_ASSERT(!sender.is_reading, "the previous message of rank {} is still being read", from);
  if (sender.arrivals.empty() || !sender.arrivals.front().is_complete) {
    sender.is_wanted = options().has_rounds;
    return std::nullopt;
  }
  sender.is_wanted = false;
  const Arrival arrival = sender.arrivals.front();
  sender.arrivals.erase(sender.arrivals.begin());
  return message(sender, from, arrival);
}

std::optional<Message> NetworkChannel::latest(Rank from) {
  GOSSIP_ASSERT(options().reading == Reading::kLatest, "latest() on a channel made for next()");
  const std::lock_guard lock(network_.mutex_);
  network_.check();
  Peer& sender = peer(from);
  GOSSIP_ASSERT(!sender.is_reading, "the previous message of rank {} is still being read", from);
  const auto newest = std::ranges::find_if(sender.arrivals, &Arrival::is_complete);
  if (newest == sender.arrivals.end()) return std::nullopt;
  return message(sender, from, *newest);
}

void NetworkChannel::release(Rank from, int slot) noexcept {
  {
    const std::lock_guard lock(network_.mutex_);
    Peer& sender = peer(from);
    sender.is_reading = false;
    sender.reading = -1;
    const bool is_newest =
        options().reading == Reading::kLatest &&
        std::ranges::find(sender.arrivals, slot, &Arrival::slot) != sender.arrivals.end();
    if (slot < 0 || is_newest) return;
    free_receive_slot_of(slot);
  }
  network_.background_.wake();
}

void NetworkChannel::free_receive_slot_of(int slot) noexcept {
  if (slot >= 0) filled_by_[static_cast<std::size_t>(slot)] = -1;
}

// --- the communication thread's side -------------------------------------------------------------

void NetworkChannel::on_offer(Rank from, const Header& header) {
  peer(from).arrivals.push_back({.header = header});
  if (header.bytes > 0) return;
  // A header alone needs no slot: it is here.
  peer(from).arrivals.back().is_complete = true;
  if (options().reading == Reading::kLatest) drop_older(from);
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
  arrival->is_complete = true;
  if (options().reading == Reading::kLatest) drop_older(from);
}

void NetworkChannel::on_grant(Rank from, const Network::Record& grant) {
  const auto departure = std::ranges::find_if(departures_, [&](const Departure& candidate) {
    return candidate.to == from && candidate.header.sequence == grant.header.sequence;
  });
  GOSSIP_ASSERT(departure != departures_.end(), "a grant for message {} to rank {}",
                grant.header.sequence, from);
  departure->transfer = ++transfers_;
  SlotMemory& source = *send_slots_[static_cast<std::size_t>(departure->slot)].memory;
  network_.mover_->put(
      from, source.slot(0).first(departure->header.bytes),
      filling(grant.slot, departure->header.bytes, grant.stamp, departure->transfer));
}

void NetworkChannel::on_sent(std::uint64_t transfer) {
  const auto departure = std::ranges::find(departures_, transfer, &Departure::transfer);
  --send_slots_[static_cast<std::size_t>(departure->slot)].departures;
  departures_.erase(departure);
}

Filling NetworkChannel::filling(int slot, std::size_t bytes, std::uint64_t stamp,
                                std::uint64_t number) const {
  return {.memory = receive_memory_.get(),
          .slot = slot,
          .bytes = bytes,
          .tag = static_cast<int>(number_) * kMostSlots + slot,
          .stamp = stamp,
          .number = std::uint64_t{number_} << kChannelShift | number};
}

bool NetworkChannel::advance() {
  if (is_closing_) return false;
  const bool has_offered = offer();
  return grant() || has_offered;
}

bool NetworkChannel::offer() {
  bool has_moved = false;
  if (options().reading == Reading::kLatest && newest_ >= 0) {
    for (const Rank to : correspondents_) {
      if (peer(to).posted == newest_header_.sequence) continue;
      if (std::ranges::find(departures_, to, &Departure::to) != departures_.end()) continue;
      peer(to).posted = newest_header_.sequence;
      departures_.push_back({.to = to, .slot = newest_, .header = newest_header_});
      ++send_slots_[static_cast<std::size_t>(newest_)].departures;
    }
  }
  for (std::size_t i = 0; i < departures_.size(); ++i) {
    Departure& departure = departures_[i];
    if (departure.is_offered) continue;
    departure.is_offered = true;
    has_moved = true;
    network_.send(
        departure.to,
        {.kind = Network::RecordKind::kOffer, .channel = number_, .header = departure.header});
    if (departure.header.bytes > 0) continue;
    --send_slots_[static_cast<std::size_t>(departure.slot)].departures;
    departures_.erase(departures_.begin() + static_cast<std::ptrdiff_t>(i--));
  }
  return has_moved;
}

bool NetworkChannel::may_grant(const Peer& peer, std::size_t arrival) const {
  return options().reading == Reading::kLatest || !options().has_rounds ||
         (peer.is_wanted && arrival == 0) ||
         peer.arrivals[arrival].header.round <= committed_round_;
}

int NetworkChannel::free_receive_slot(Rank from) const {
  const auto is_free = [&](std::size_t slot) { return filled_by_[slot] < 0; };
  if (options().reading == Reading::kNext) {
    for (std::size_t slot = 0; slot < filled_by_.size(); ++slot) {
      if (is_free(slot)) return static_cast<int>(slot);
    }
    return -1;
  }
  const auto position = std::ranges::lower_bound(correspondents_, from) - correspondents_.begin();
  const auto first = 2 * static_cast<std::size_t>(position);
  if (is_free(first)) return static_cast<int>(first);
  return is_free(first + 1) ? static_cast<int>(first + 1) : -1;
}

bool NetworkChannel::grant() {
  bool has_moved = false;
  const auto count = static_cast<Rank>(peers_.size());
  const Rank first = granted_last_ + 1;  // in turn, so that none starves
  for (Rank turn = 0; turn < count; ++turn) {
    const Rank from = (first + turn) % count;
    Peer& sender = peer(from);
    for (std::size_t i = 0; i < sender.arrivals.size(); ++i) {
      Arrival& arrival = sender.arrivals[i];
      if (arrival.is_complete || arrival.slot >= 0) continue;
      const int slot = may_grant(sender, i) ? free_receive_slot(from) : -1;
      if (slot < 0) break;  // later messages of this sender come after it
      granted_last_ = from;
      const auto index = static_cast<std::size_t>(slot);
      arrival.slot = slot;
      filled_by_[index] = from;
      const std::uint64_t stamp = ++stamps_[index];
      network_.mover_->expect(
          from, filling(slot, arrival.header.bytes, stamp, static_cast<std::uint64_t>(slot)));
      network_.send(from, {.kind = Network::RecordKind::kGrant,
                           .channel = number_,
                           .header = arrival.header,
                           .slot = slot,
                           .stamp = stamp});
      has_moved = true;
    }
  }
  return has_moved;
}

}  // namespace gossip::transport
