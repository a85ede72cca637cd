// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>

#include <libgossip/base/error.h>
#include <libgossip/transport/rma/put_mover.h>

namespace gossip::transport::rma {
namespace {

constexpr std::size_t kAlignment = 64;

/// Puts of one route under way at a time: enough to keep the wire busy, few enough for several routes
/// to share it.
constexpr int kPiecesUnderWay = 8;

/// A batch that has so much takes no further payload.
constexpr std::size_t kBatchBytes = std::size_t{4} << 20U;

}  // namespace

/// Each slot: a cache line with its sequence word, then the payload.
class PutMover::WindowSlots final : public SlotMemory {
 public:
  WindowSlots(const mpi::Communicator& communicator, int count, std::size_t capacity)
      : stride_(kAlignment + (capacity + kAlignment - 1) / kAlignment * kAlignment),
        window_(communicator, stride_ * static_cast<std::size_t>(count)) {}

  [[nodiscard]] std::span<std::byte> slot(int index) override {
    return window_.own().subspan(offset_of(index), stride_ - kAlignment);
  }
  [[nodiscard]] std::size_t bytes() const override { return window_.own().size(); }

  [[nodiscard]] std::size_t word_of(int index) const {
    return stride_ * static_cast<std::size_t>(index);
  }
  [[nodiscard]] std::size_t offset_of(int index) const { return word_of(index) + kAlignment; }

  /// The stamp of the last payload that is complete in the slot.
  [[nodiscard]] std::uint64_t stamp_of(int index) const {
    auto* word = reinterpret_cast<std::uint64_t*>(window_.own().data() + word_of(index));
    return std::atomic_ref(*word).load(std::memory_order_acquire);
  }

  [[nodiscard]] const mpi::Window& window() const noexcept { return window_; }

 private:
  std::size_t stride_;
  mpi::Window window_;
};

PutMover::PutMover(mpi::Communicator communicator, std::size_t piece_bytes)
    : communicator_(std::move(communicator)), piece_bytes_(piece_bytes) {}

std::unique_ptr<SlotMemory> PutMover::make_slots(int count, std::size_t capacity) {
  auto slots = std::make_unique<WindowSlots>(communicator_, count, capacity);
  component_ = slots->window().component();
  return slots;
}

void PutMover::expect(Rank from, const Filling& filling) {
  signs_of_life_.receive(communicator_, {}, from, filling.tag, filling.number);
  expected_.push_back(filling);
}

PutMover::Route& PutMover::route(Rank to, WindowSlots* memory) {
  for (Route& route : routes_) {
    if (route.to == to && route.memory == memory) return route;
  }
  Route& made = routes_.emplace_back();
  made.to = to;
  made.memory = memory;
  return made;
}

PutMover::Route& PutMover::route_of(std::uint64_t number) {
  const auto has_number = [&](const Route& route) {
    return std::ranges::find(route.batch, number, &Sending::number) != route.batch.end();
  };
  return *std::ranges::find_if(routes_, has_number);
}

bool PutMover::is_busy() const {
  return !expected_.empty() || std::ranges::any_of(routes_, [](const Route& route) {
    return !route.batch.empty() || !route.waiting.empty();
  });
}

void PutMover::put(Rank to, std::span<const std::byte> payload, const Filling& filling) {
  if (spare_.empty()) spare_.emplace_back();
  Route& way = route(to, static_cast<WindowSlots*>(filling.memory));
  way.waiting.splice(way.waiting.end(), spare_, spare_.begin());
  way.waiting.back() = {.to = to,
                        .memory = way.memory,
                        .slot = filling.slot,
                        .tag = filling.tag,
                        .stamp = filling.stamp,
                        .number = filling.number,
                        .payload = payload};
  start_pieces(way);
}

void PutMover::start_pieces(Route& route) {
  if (route.stage != Stage::kPieces) return;
  for (Sending& sending : route.batch) start_pieces(route, sending);
  while (!route.waiting.empty() && route.under_way < kPiecesUnderWay &&
         route.batch_bytes < kBatchBytes) {
    route.batch.splice(route.batch.end(), route.waiting, route.waiting.begin());
    route.batch_bytes += route.batch.back().payload.size();
    start_pieces(route, route.batch.back());
  }
}

void PutMover::start_pieces(Route& route, Sending& sending) {
  while (sending.started < sending.payload.size() && route.under_way < kPiecesUnderWay) {
    const std::size_t bytes = std::min(piece_bytes_, sending.payload.size() - sending.started);
    sending.memory->window().put(sending.payload.subspan(sending.started, bytes), sending.to,
                                 sending.memory->offset_of(sending.slot) + sending.started, puts_,
                                 sending.number);
    sending.started += bytes;
    ++route.under_way;
  }
}

/// All operations of the route's stage are over.
void PutMover::go_on(Route& route, std::vector<std::uint64_t>& sent) {
  if (route.stage == Stage::kPieces) {
    route.stage = Stage::kSignsOfLife;
    for (const Sending& sending : route.batch) {
      puts_.send_synchronously(communicator_, {}, sending.to, sending.tag, sending.number);
      ++route.under_way;
    }
    return;
  }
  route.memory->window().flush(route.to);  // what was put is there
  if (route.stage == Stage::kSignsOfLife) {
    route.stage = Stage::kWords;
    for (const Sending& sending : route.batch) {
      sending.memory->window().put(std::as_bytes(std::span(&sending.stamp, 1)), sending.to,
                                   sending.memory->word_of(sending.slot), puts_, sending.number);
      ++route.under_way;
    }
    return;
  }
  for (const Sending& sending : route.batch) sent.push_back(sending.number);
  spare_.splice(spare_.end(), route.batch);
  route.stage = Stage::kPieces;
  route.batch_bytes = 0;
  start_pieces(route);
}

void PutMover::poll_puts(std::vector<std::uint64_t>& sent) {
  finished_.clear();
  puts_.poll(finished_);
  for (const std::uint64_t number : finished_) {
    Route& way = route_of(number);
    --way.under_way;
    start_pieces(way);
    if (way.under_way == 0) go_on(way, sent);
  }
}

void PutMover::poll_words(std::vector<std::uint64_t>& arrived) {
  finished_.clear();
  signs_of_life_.poll(finished_);
  for (std::size_t i = 0; i < expected_.size();) {
    auto* memory = static_cast<WindowSlots*>(expected_[i].memory);
    if (memory->stamp_of(expected_[i].slot) != expected_[i].stamp) {
      ++i;
      continue;
    }
    memory->window().sync();
    arrived.push_back(expected_[i].number);
    expected_.erase(expected_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void PutMover::poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) {
  poll_puts(sent);
  poll_words(arrived);
}

}  // namespace gossip::transport::rma
