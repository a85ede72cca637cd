// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include <libgossip/base/collective_call.h>
#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/base/notice.h>
#include <libgossip/mpi/exchange.h>
#include <libgossip/mpi/serial.h>
#include <libgossip/transport/network_channel.h>

namespace gossip::transport {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr int kMostSlots = 64;           // of a sender
constexpr int kMostReceiveSlots = 1024;  // what a message's tag can tell apart

static_assert(sizeof(Header) % kAlignment == 0);  // a payload behind it is aligned, too

constexpr std::size_t round_up(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// Larger messages would need more memory for slots that are lent to peers who do not use them, and
/// gain little by not asking.
constexpr std::size_t kLargestWithCredits = std::size_t{1} << 20U;

bool has_credits(const ChannelOptions& options) {
  return options.reading == Reading::kNext && !options.has_rounds &&
         options.capacity_bytes <= kLargestWithCredits;
}

std::size_t receive_slots(const ChannelOptions& options, std::size_t num_peers) {
  if (options.reading == Reading::kLatest) return 2 * num_peers;
  if (has_credits(options)) {
    return std::max<std::size_t>(static_cast<std::size_t>(std::max(options.receive_slots, 0)),
                                 num_peers);
  }
  return static_cast<std::size_t>(std::max(options.receive_slots, 0));
}

}  // namespace

void NetworkChannel::check(const ChannelOptions& options, std::size_t num_peers) {
  const bool is_latest = options.reading == Reading::kLatest;
  const int least = is_latest ? 2 : 1;
  GOSSIP_CHECK(options.slots >= least && options.slots <= kMostSlots,
               "A channel cannot have {} slots: give it {} to {}.", options.slots, least,
               kMostSlots);
  const std::size_t arriving = receive_slots(options, num_peers);
  GOSSIP_CHECK((is_latest || arriving >= 1) && arriving <= kMostReceiveSlots,
               "A channel cannot have {} slots for what arrives: it needs 1 to {}{}.",
               is_latest ? static_cast<int>(arriving) : options.receive_slots, kMostReceiveSlots,
               is_latest ? ", two for each peer" : "");
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
  const auto slots = static_cast<std::size_t>(options.slots) + arriving;
  GOSSIP_CHECK(options.capacity_bytes <= kMost / slots - sizeof(Header) - 2 * kAlignment,
               "A channel with {} slots of {} bytes is larger than an address can be.", slots,
               options.capacity_bytes);
}

void NetworkChannel::check_lane(int lane, int largest_tag) {
  const int most = (largest_tag - (kMostReceiveSlots - 1)) / kMostReceiveSlots + 1;
  GOSSIP_CHECK(lane < most,
               "There are {} channels between hosts, and this MPI's messages have tags for no more "
               "(up to {}): use fewer optimizers at the same time.",
               lane, largest_tag);
}

NetworkChannel::NetworkChannel(Network& network, std::uint32_t number, int lane,
                               std::shared_ptr<const NetworkMembers> members,
                               std::vector<Rank> peers, const ChannelOptions& options)
    : Channel(options, members->communicator().rank()),
      network_(network),
      mover_(network.mover_among(members->communicator().size())),
      number_(number),
      lane_(lane),
      members_(std::move(members)),
      correspondents_(std::move(peers)),
      peers_(static_cast<std::size_t>(members_->communicator().size())),
      send_slots_(static_cast<std::size_t>(options.slots)) {
  std::ranges::sort(correspondents_);
  has_credits_ = has_credits(options);
  const std::size_t slots = receive_slots(options, correspondents_.size());
  receive_memory_ = mover_.make_slots(static_cast<int>(slots), slot_bytes(), *members_);
  filled_by_.assign(slots, -1);
  stamps_.assign(slots, 0);
}

/// With kLatest the header lies before the payload and travels with it: it is known only when the
/// payload leaves.
std::size_t NetworkChannel::prefix_bytes() const { return is_latest() ? sizeof(Header) : 0; }

std::size_t NetworkChannel::slot_bytes() const {
  return prefix_bytes() + round_up(options().capacity_bytes);
}

/// What sender and receiver know of a message's length before it leaves.
std::size_t NetworkChannel::filling_bytes(const Header& header) const {
  return is_latest() ? slot_bytes() : header.bytes;
}

NetworkChannel::~NetworkChannel() {
  bool is_settled = false;
  if (!lifetime_.ends_alone()) {
    try {
      is_settled = settle();
    } catch (const std::exception& error) {
      log(LogLevel::kWarning, network_.mailbox_.communicator().rank(),
          "a channel between hosts was not closed in order: {}", error.what());
    }
  }
  network_.remove(number_, lane_, is_settled);
  if (!is_settled) leave_memory();
}

/// What is still under way would write into freed memory, or read it.
void NetworkChannel::leave_memory() noexcept {
  static_cast<void>(receive_memory_.release());
  for (SendSlot& slot : send_slots_) static_cast<void>(slot.memory.release());
}

/// Waits until nothing moves any more. Messages that were not granted are dropped. Returns whether
/// that came true on all ranks; all ranks return the same.
bool NetworkChannel::settle() {
  // Longer than another rank waits for what moves, and however short the timeout of the call.
  const CollectiveCall together({}, std::max(Patience().timeout, twice(options().timeout)));
  const mpi::Communicator& communicator = members_->communicator();
  communicator.barrier();  // what a rank still waits for is still sent
  {
    const auto lock = mpi::Serial::lock(network_.mutex_);
    is_closing_ = true;
  }
  communicator.barrier();  // from here on nobody offers or grants
  announce();
  std::vector<Rank> others;
  bool has_failed = false;
  const auto is_quiet = [&] {
    const auto lock = mpi::Serial::lock(network_.mutex_);
    others = in_flight_with();
    has_failed = network_.error_ != nullptr;  // then nothing moves any more
    return has_failed || others.empty();
  };
  const auto settle_all = [&] {
    const Deadline deadline(options().timeout);
    Notice notice(communicator.rank(), deadline);
    const auto while_waiting = [&] {
      if (others.empty()) return;
      notice.look([&] {
        return fmt::format("the messages to and from rank {} in flight at the end of a channel",
                           fmt::join(others, ", "));
      });
    };
    const bool is_settled = wait_until(deadline, is_quiet, while_waiting) && !has_failed;
    const std::vector<int> all = communicator.all_gather(is_settled ? 1 : 0);
    return std::ranges::find(all, 0) == all.end();
  };
  const bool have_arrived = settle_all();
  return settle_all() && have_arrived;  // and their senders know
}

/// Tells all ranks how many messages this one has offered to each, and waits for what they tell.
void NetworkChannel::announce() {
  std::vector<std::uint64_t> offered;
  {
    const auto lock = mpi::Serial::lock(network_.mutex_);
    for (const Peer& peer : peers_) offered.push_back(peer.offered);
  }
  const std::vector<std::uint64_t> announced =
      mpi::exchange_numbers(members_->communicator(), offered);
  const auto lock = mpi::Serial::lock(network_.mutex_);
  for (std::size_t rank = 0; rank < peers_.size(); ++rank) {
    peers_[rank].announced = announced[rank];
  }
}

/// The ranks whose messages to this one, or this one's to whom, are under way.
std::vector<Rank> NetworkChannel::in_flight_with() const {
  const auto is_expected = [](const Arrival& arrival) {
    return arrival.slot >= 0 && !arrival.is_complete;
  };
  std::vector<Rank> result;
  for (Rank rank = 0; std::cmp_less(rank, peers_.size()); ++rank) {
    const Peer& peer = peers_[static_cast<std::size_t>(rank)];
    const bool is_moving = std::ranges::any_of(departures_, [&](const Departure& departure) {
      return departure.to == rank && departure.transfer != 0;
    });
    if (is_moving || peer.received < peer.announced ||
        std::ranges::any_of(peer.arrivals, is_expected)) {
      result.push_back(rank);
    }
  }
  return result;
}

std::size_t NetworkChannel::memory_bytes() const {
  const auto lock = mpi::Serial::lock(network_.mutex_);
  std::size_t bytes = receive_memory_->bytes();
  for (const SendSlot& slot : send_slots_) {
    if (slot.memory) bytes += slot.memory->bytes();
  }
  return bytes;
}

Filling NetworkChannel::filling(int slot, std::size_t bytes, std::uint64_t stamp,
                                std::uint64_t number) const {
  return {.memory = receive_memory_.get(),
          .slot = slot,
          .bytes = bytes,
          .tag = lane_ * kMostReceiveSlots + slot,
          .stamp = stamp,
          .number = std::uint64_t{number_} << Network::kChannelShift | number};
}

// --- the user's side -----------------------------------------------------------------------------

std::optional<std::span<std::byte>> NetworkChannel::try_acquire(std::span<const Rank> to,
                                                                Rank& blocking) {
  const auto lock = mpi::Serial::lock(network_.mutex_);
  network_.check();
  GOSSIP_ASSERT(acquired_ < 0, "slot {} was acquired and never committed", acquired_);
  for (int index = 0; index < options().slots; ++index) {
    SendSlot& slot = send_slots_[static_cast<std::size_t>(index)];
    if (slot.departures > 0 || index == newest_) continue;
    if (!slot.memory) slot.memory = make_private_slots(1, slot_bytes());
    acquired_ = index;
    addressees_.assign(to.begin(), to.end());
    return slot.memory->slot(0).subspan(prefix_bytes(), options().capacity_bytes);
  }
  const auto busy = std::ranges::find_if(
      departures_, [](const Departure& departure) { return departure.slot >= 0; });
  if (busy != departures_.end()) blocking = busy->to;
  return std::nullopt;
}

void NetworkChannel::commit(const Header& header) {
  {
    const auto lock = mpi::Serial::lock(network_.mutex_);
    GOSSIP_ASSERT(acquired_ >= 0, "a message of round {} was committed before a slot was acquired",
                  header.round);
    GOSSIP_ASSERT(header.bytes <= options().capacity_bytes, "a message of {} bytes in a slot of {}",
                  header.bytes, options().capacity_bytes);
    const int index = std::exchange(acquired_, -1);
    committed_round_ = std::max(committed_round_, header.round);
    if (is_latest()) {
      const std::uint64_t sequence = newest_header_.sequence + 1;
      newest_ = index;
      newest_header_ = header;
      newest_header_.sequence = sequence;
      write_newest_header();
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

void NetworkChannel::write_newest_header() {
  SlotMemory& memory = *send_slots_[static_cast<std::size_t>(newest_)].memory;
  std::memcpy(memory.slot(0).data(), &newest_header_, sizeof(newest_header_));
}

void NetworkChannel::cancel() {
  const auto lock = mpi::Serial::lock(network_.mutex_);
  acquired_ = -1;
}

void NetworkChannel::enter(std::int64_t round) {
  bool has_waiting = false;
  {
    const auto lock = mpi::Serial::lock(network_.mutex_);
    committed_round_ = std::max(committed_round_, round);
    has_waiting = waiting_ > 0;
  }
  if (has_waiting) network_.background_.wake();
}

Message NetworkChannel::message(Peer& peer, Rank from, const Arrival& arrival) {
  peer.is_reading = true;
  peer.reading = arrival.slot;
  std::span<const std::byte> payload;
  if (arrival.slot >= 0) {
    payload = receive_memory_->slot(arrival.slot).subspan(prefix_bytes(), arrival.header.bytes);
  }
  return {*this, from, arrival.slot, arrival.header, payload};
}

std::optional<Message> NetworkChannel::try_next(Rank from) {
  GOSSIP_ASSERT(options().reading == Reading::kNext, "next() on a channel made for latest()");
  const auto lock = mpi::Serial::lock(network_.mutex_);
  network_.check();
  Peer& sender = peer(from);
  GOSSIP_ASSERT(!sender.is_reading, "the previous message of rank {} is still being read", from);
  if (sender.arrivals.empty() || !sender.arrivals.front().is_complete) {
    if (options().has_rounds && !std::exchange(sender.is_wanted, true) && waiting_ > 0) {
      network_.background_.wake();
    }
    return std::nullopt;
  }
  sender.is_wanted = false;
  const Arrival arrival = sender.arrivals.front();
  sender.arrivals.erase(sender.arrivals.begin());
  return message(sender, from, arrival);
}

std::optional<Message> NetworkChannel::latest(Rank from) {
  GOSSIP_ASSERT(options().reading == Reading::kLatest, "latest() on a channel made for next()");
  const auto lock = mpi::Serial::lock(network_.mutex_);
  network_.check();
  Peer& sender = peer(from);
  GOSSIP_ASSERT(!sender.is_reading, "the previous message of rank {} is still being read", from);
  const auto newest = std::ranges::find_if(sender.arrivals, &Arrival::is_complete);
  if (newest == sender.arrivals.end()) return std::nullopt;
  return message(sender, from, *newest);
}

void NetworkChannel::release(Rank from, int slot) noexcept {
  bool has_waiting = false;
  {
    const auto lock = mpi::Serial::lock(network_.mutex_);
    Peer& sender = peer(from);
    sender.is_reading = false;
    sender.reading = -1;
    const bool is_newest =
        is_latest() &&
        std::ranges::find(sender.arrivals, slot, &Arrival::slot) != sender.arrivals.end();
    if (slot < 0 || is_newest) return;
    free_receive_slot_of(slot);
    has_waiting = waiting_ > 0 || has_credits_;
  }
  if (has_waiting) network_.background_.wake();
}

void NetworkChannel::free_receive_slot_of(int slot) noexcept {
  if (slot >= 0) filled_by_[static_cast<std::size_t>(slot)] = -1;
}

}  // namespace gossip::transport
