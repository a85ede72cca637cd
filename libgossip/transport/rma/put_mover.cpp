// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <list>
#include <memory>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/transport/rma/put_mover.h>

namespace gossip::transport::rma {
namespace {

constexpr std::size_t kAlignment = 64;

/// Puts of one payload under way at a time.
constexpr int kPiecesUnderWay = 2;

/// Windows of a slot memory.
constexpr int kWindows = 2;

}  // namespace

/// Each slot: a cache line with its sequence word, then the payload. Even slots lie in the first
/// window, odd ones in the second.
class PutMover::WindowSlots final : public SlotMemory {
 public:
  WindowSlots(const NetworkMembers& members, int count, std::size_t capacity)
      : members_(members),
        stride_(kAlignment + (capacity + kAlignment - 1) / kAlignment * kAlignment) {
    for (int first = 0; first < kWindows; ++first) {
      const int slots = (count + kWindows - 1 - first) / kWindows;
      windows_.push_back(std::make_unique<mpi::Window>(members.communicator(),
                                                       stride_ * static_cast<std::size_t>(slots)));
    }
  }

  [[nodiscard]] std::span<std::byte> slot(int index) override {
    return window_of(index).own().subspan(offset_of(index), stride_ - kAlignment);
  }
  [[nodiscard]] std::size_t bytes() const override {
    std::size_t bytes = 0;
    for (const auto& window : windows_) bytes += window->own().size();
    return bytes;
  }

  [[nodiscard]] const mpi::Window& window_of(int slot) const {
    return *windows_[static_cast<std::size_t>(slot % kWindows)];
  }
  [[nodiscard]] std::size_t word_of(int index) const {
    return stride_ * static_cast<std::size_t>(index / kWindows);
  }
  [[nodiscard]] std::size_t offset_of(int index) const { return word_of(index) + kAlignment; }

  /// The stamp of the last payload that is complete in the slot.
  [[nodiscard]] std::uint64_t stamp_of(int index) const {
    auto* word = reinterpret_cast<std::uint64_t*>(window_of(index).own().data() + word_of(index));
    return std::atomic_ref(*word).load(std::memory_order_acquire);
  }

  /// A rank of the network, as the windows number it.
  [[nodiscard]] Rank in_window(Rank rank) const { return members_.in_group(rank); }

 private:
  const NetworkMembers& members_;
  std::size_t stride_;
  std::vector<std::unique_ptr<mpi::Window>> windows_;
};

PutMover::PutMover(mpi::Communicator communicator, std::size_t piece_bytes)
    : communicator_(std::move(communicator)), piece_bytes_(piece_bytes) {}

std::unique_ptr<SlotMemory> PutMover::make_slots(int count, std::size_t capacity,
                                                 const NetworkMembers& members) {
  auto slots = std::make_unique<WindowSlots>(members, count, capacity);
  component_ = slots->window_of(0).component();
  return slots;
}

void PutMover::expect(Rank from, const Filling& filling) {
  signs_of_life_.receive(communicator_, {}, from, filling.tag, filling.number);
  expected_.push_back(filling);
}

/// MPI may still read the stamps in routes_.
void PutMover::leave() noexcept {
  communicator_.leave();
  static_cast<void>(new std::list<Route>(std::move(routes_)));
}

/// `to`: as the window numbers it.
PutMover::Route& PutMover::route(Rank to, const mpi::Window& window) {
  for (Route& route : routes_) {
    if (route.to == to && route.window == &window) return route;
  }
  if (spare_routes_.empty()) spare_routes_.emplace_back();
  routes_.splice(routes_.end(), spare_routes_, spare_routes_.begin());
  routes_.back().to = to;
  routes_.back().window = &window;
  return routes_.back();
}

bool PutMover::is_busy() const {
  return !expected_.empty() || std::ranges::any_of(routes_, [](const Route& route) {
    return !route.sending.empty() || !route.waiting.empty() || !route.announced.empty();
  });
}

void PutMover::put(Rank to, std::span<const std::byte> payload, const Filling& filling) {
  if (spare_.empty()) spare_.emplace_back();
  auto* memory = static_cast<WindowSlots*>(filling.memory);
  const Rank in_window = memory->in_window(to);
  Route& way = route(in_window, memory->window_of(filling.slot));
  way.waiting.splice(way.waiting.end(), spare_, spare_.begin());
  way.waiting.back() = {.to = to,
                        .in_window = in_window,
                        .memory = memory,
                        .slot = filling.slot,
                        .tag = filling.tag,
                        .stamp = filling.stamp,
                        .number = filling.number,
                        .payload = payload};
  start(way);
}

void PutMover::start(Route& route) {
  if (!route.sending.empty() || route.waiting.empty()) return;
  route.sending.splice(route.sending.end(), route.waiting, route.waiting.begin());
  start_pieces(route.sending.front());
}

void PutMover::start_pieces(Sending& sending) {
  const mpi::Window& window = sending.memory->window_of(sending.slot);
  while (sending.started < sending.payload.size() && sending.under_way < kPiecesUnderWay) {
    const std::size_t bytes = std::min(piece_bytes_, sending.payload.size() - sending.started);
    window.put(sending.payload.subspan(sending.started, bytes), sending.in_window,
               sending.memory->offset_of(sending.slot) + sending.started, puts_, sending.number);
    sending.started += bytes;
    ++sending.under_way;
  }
  if (sending.started < sending.payload.size() || sending.is_closed) return;
  sending.is_closed = true;
  puts_.send_synchronously(communicator_, {}, sending.to, sending.tag, sending.number);
  ++sending.under_way;
}

/// All pieces are over, and the receiver lives.
void PutMover::finish(Route& route) {
  route.window->flush(route.to);  // what was put is there
  const Sending& sending = route.sending.front();
  route.window->put(std::as_bytes(std::span(&sending.stamp, 1)), route.to,
                    sending.memory->word_of(sending.slot), words_, sending.number);
  route.announced.splice(route.announced.end(), route.sending);
  start(route);
}

void PutMover::poll_puts() {
  finished_.clear();
  puts_.poll(finished_);
  for (const std::uint64_t number : finished_) {
    const auto way = std::ranges::find_if(routes_, [&](const Route& route) {
      return !route.sending.empty() && route.sending.front().number == number;
    });
    Sending& sending = way->sending.front();
    --sending.under_way;
    start_pieces(sending);
    if (sending.under_way == 0) finish(*way);
  }
}

/// A payload is over with its word: until then its window is in use. The next flush of the same
/// window makes sure of a word; where nothing follows, one is made here, and the route ends.
void PutMover::poll_words(std::vector<std::uint64_t>& sent) {
  finished_.clear();
  words_.poll(finished_);
  for (const std::uint64_t number : finished_) {
    auto announced = std::list<Sending>::iterator();
    const auto way = std::ranges::find_if(routes_, [&](Route& route) {
      announced = std::ranges::find(route.announced, number, &Sending::number);
      return announced != route.announced.end();
    });
    sent.push_back(number);
    spare_.splice(spare_.end(), way->announced, announced);
    if (!way->sending.empty() || !way->announced.empty()) continue;
    way->window->flush(way->to);
    spare_routes_.splice(spare_routes_.end(), routes_, way);
  }
}

void PutMover::poll_arrivals(std::vector<std::uint64_t>& arrived) {
  finished_.clear();
  signs_of_life_.poll(finished_);
  for (std::size_t i = 0; i < expected_.size();) {
    auto* memory = static_cast<WindowSlots*>(expected_[i].memory);
    if (memory->stamp_of(expected_[i].slot) != expected_[i].stamp) {
      ++i;
      continue;
    }
    memory->window_of(expected_[i].slot).sync();
    arrived.push_back(expected_[i].number);
    expected_.erase(expected_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void PutMover::poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) {
  poll_puts();
  poll_words(sent);
  poll_arrivals(arrived);
}

}  // namespace gossip::transport::rma
