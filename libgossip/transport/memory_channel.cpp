// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <cstring>
#include <limits>
#include <new>

#include <libgossip/base/error.h>
#include <libgossip/base/narrow.h>
#include <libgossip/transport/memory_channel.h>

namespace gossip::transport {
namespace {

constexpr std::size_t kCacheLine = 64;

constexpr std::size_t round_up(std::size_t bytes) {
  return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
}

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(Header) % kCacheLine == 0);  // a payload begins a cache line

/// kLatest publishes a sequence and a slot in one word.
constexpr std::uint64_t pack(std::uint64_t sequence, int slot) {
  return sequence << 8U | static_cast<std::uint64_t>(slot);
}
constexpr std::uint64_t sequence_of(std::uint64_t word) { return word >> 8U; }
constexpr int slot_of(std::uint64_t word) { return static_cast<int>(word & 0xFFU); }

}  // namespace

/// Written by the sender, read by one receiver (kNext), or, entry 0 only, by all (kLatest: the
/// packed newest message).
struct alignas(kCacheLine) MemoryChannel::Outgoing {
  std::atomic<std::uint64_t> posted{0};
  // As many as fit beside the counter into one cache line.
  std::array<std::uint32_t, kMostMemorySlots>
      slot_of{};  // by sequence mod slots; ordered by `posted`
};

/// Written by the receiver, read by the sender.
struct alignas(kCacheLine) MemoryChannel::Incoming {
  std::atomic<std::uint64_t> released{
      0};  // kNext: messages given back; kLatest: 1 + slot being read, 0 for none
};

std::size_t MemoryChannel::region_bytes(const ChannelOptions& options, int size) {
  const int least = options.reading == Reading::kLatest ? 2 : 1;
  GOSSIP_CHECK(options.slots >= least && options.slots <= kMostMemorySlots,
               "A channel cannot have {} slots: give it {} to {}.", options.slots, least,
               kMostMemorySlots);
  const std::size_t words = static_cast<std::size_t>(size) * (sizeof(Outgoing) + sizeof(Incoming));
  const auto slots = static_cast<std::size_t>(options.slots);
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
  GOSSIP_CHECK(options.capacity_bytes <= (kMost - words) / slots - sizeof(Header) - kCacheLine,
               "A channel with {} slots of {} bytes is larger than an address can be.", slots,
               options.capacity_bytes);
  return words + slots * (sizeof(Header) + round_up(options.capacity_bytes));
}

MemoryChannel::MemoryChannel(std::unique_ptr<Region> region, Rank rank, int size,
                             std::vector<Rank> members, const ChannelOptions& options)
    : Channel(options, rank),
      region_(std::move(region)),
      rank_(rank),
      size_(size),
      members_(std::move(members)),
      posted_(static_cast<std::size_t>(size), 0),
      taken_(static_cast<std::size_t>(size), 0),
      is_reading_(static_cast<std::size_t>(size), false),
      addressees_(static_cast<std::size_t>(options.slots)) {
  for (std::vector<Addressee>& addressees : addressees_) addressees.reserve(members_.size());
  for (Rank other = 0; other < size_; ++other) {
    new (&outgoing(rank_, other)) Outgoing;
    new (&incoming(rank_, other)) Incoming;
  }
}

MemoryChannel::Outgoing& MemoryChannel::outgoing(Rank sender, Rank receiver) const {
  std::byte* base = region_->of(sender).data();
  return reinterpret_cast<Outgoing*>(base)[receiver];
}

MemoryChannel::Incoming& MemoryChannel::incoming(Rank receiver, Rank sender) const {
  std::byte* base =
      region_->of(receiver).data() + static_cast<std::size_t>(size_) * sizeof(Outgoing);
  return reinterpret_cast<Incoming*>(base)[sender];
}

std::byte* MemoryChannel::slot(Rank sender, int index) const {
  const std::size_t words = static_cast<std::size_t>(size_) * (sizeof(Outgoing) + sizeof(Incoming));
  const std::size_t stride = sizeof(Header) + round_up(options().capacity_bytes);
  return region_->of(sender).data() + words + static_cast<std::size_t>(index) * stride;
}

std::size_t MemoryChannel::memory_bytes() const { return region_bytes(options(), size_); }

bool MemoryChannel::is_free(int index, Rank& blocking) const {
  if (options().reading == Reading::kNext) {
    for (const Addressee& addressee : addressees_[static_cast<std::size_t>(index)]) {
      blocking = addressee.rank;
      const Incoming& words = incoming(addressee.rank, rank_);
      if (words.released.load(std::memory_order_acquire) < addressee.sequence) return false;
    }
    return true;
  }
  if (index == newest_) return false;
  for (const Rank reader : members_) {
    // Sequentially consistent, as the reader's pin and second look are: either it sees that its
    // slot is no longer the newest, or we see its pin.
    const std::uint64_t pinned = incoming(reader, rank_).released.load(std::memory_order_seq_cst);
    blocking = reader;
    if (pinned == static_cast<std::uint64_t>(index) + 1) return false;
  }
  return true;
}

std::optional<std::span<std::byte>> MemoryChannel::try_acquire(std::span<const Rank> to,
                                                               Rank& blocking) {
  GOSSIP_ASSERT(acquired_ < 0, "slot {} was acquired and never committed", acquired_);
  for (int index = 0; index < options().slots; ++index) {
    if (!is_free(index, blocking)) continue;
    acquired_ = index;
    std::vector<Addressee>& addressees = addressees_[static_cast<std::size_t>(index)];
    addressees.clear();
    if (options().reading == Reading::kNext) {
      for (const Rank receiver : to) {
        addressees.push_back({receiver, posted_[static_cast<std::size_t>(receiver)] + 1});
      }
    }
    return std::span<std::byte>(slot(rank_, index) + sizeof(Header), options().capacity_bytes);
  }
  return std::nullopt;
}

void MemoryChannel::commit(const Header& header) {
  GOSSIP_ASSERT(acquired_ >= 0, "a message of round {} was committed before a slot was acquired",
                header.round);
  GOSSIP_ASSERT(header.bytes <= options().capacity_bytes, "a message of {} bytes in a slot of {}",
                header.bytes, options().capacity_bytes);
  const int index = std::exchange(acquired_, -1);
  new (slot(rank_, index)) Header(header);
  if (options().reading == Reading::kLatest) {
    newest_ = index;
    ++published_;
    outgoing(rank_, 0).posted.store(pack(published_, index), std::memory_order_seq_cst);
    return;
  }
  for (const Addressee& addressee : addressees_[static_cast<std::size_t>(index)]) {
    posted_[static_cast<std::size_t>(addressee.rank)] = addressee.sequence;
    Outgoing& words = outgoing(rank_, addressee.rank);
    const auto entry = addressee.sequence % static_cast<std::uint64_t>(options().slots);
    words.slot_of[entry] = static_cast<std::uint32_t>(index);
    words.posted.store(addressee.sequence, std::memory_order_release);
  }
}

Message MemoryChannel::message(Rank from, int index, std::uint64_t sequence) {
  const std::byte* start = slot(from, index);
  Header header = *std::launder(reinterpret_cast<const Header*>(start));
  check_header(header, from);
  header.sequence = sequence;
  is_reading_[static_cast<std::size_t>(from)] = true;
  return {*this, from, index, header, std::span(start + sizeof(Header), header.bytes)};
}

std::optional<Message> MemoryChannel::try_next(Rank from) {
  GOSSIP_ASSERT(options().reading == Reading::kNext, "next() on a channel made for latest()");
  const auto sender = static_cast<std::size_t>(from);
  GOSSIP_ASSERT(!is_reading_[sender], "the previous message of rank {} is still being read", from);
  const Outgoing& words = outgoing(from, rank_);
  const std::uint64_t wanted = taken_[sender] + 1;
  if (words.posted.load(std::memory_order_acquire) < wanted) return std::nullopt;
  const auto entry = wanted % static_cast<std::uint64_t>(options().slots);
  std::optional<Message> result = message(from, static_cast<int>(words.slot_of[entry]), wanted);
  taken_[sender] = wanted;
  return result;
}

std::optional<Message> MemoryChannel::latest(Rank from) {
  GOSSIP_ASSERT(options().reading == Reading::kLatest, "latest() on a channel made for next()");
  GOSSIP_ASSERT(!is_reading_[static_cast<std::size_t>(from)],
                "the previous message of rank {} is still being read", from);
  const std::atomic<std::uint64_t>& newest = outgoing(from, 0).posted;
  std::uint64_t word = newest.load(std::memory_order_seq_cst);
  while (word != 0) {
    // Pin the slot, then look again: the sender leaves a pinned slot alone, but may have taken it
    // just before.
    const auto pin = static_cast<std::uint64_t>(slot_of(word)) + 1;
    incoming(rank_, from).released.store(pin, std::memory_order_seq_cst);
    const std::uint64_t again = newest.load(std::memory_order_seq_cst);
    if (again == word) {
      try {
        return message(from, slot_of(word), sequence_of(word));
      } catch (...) {  // refused
        incoming(rank_, from).released.store(0, std::memory_order_release);
        throw;
      }
    }
    word = again;
  }
  return std::nullopt;
}

void MemoryChannel::release(Rank from, int /*slot*/) noexcept {
  const auto sender = static_cast<std::size_t>(from);
  is_reading_[sender] = false;
  const std::uint64_t word = options().reading == Reading::kNext ? taken_[sender] : 0;
  incoming(rank_, from).released.store(word, std::memory_order_release);
}

}  // namespace gossip::transport
