// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>

#include <libgossip/base/error.h>
#include <libgossip/transport/rma/put_mover.h>

namespace gossip::transport::rma {
namespace {

constexpr std::size_t kAlignment = 64;

/// Puts of one payload under way at a time.
constexpr int kPiecesUnderWay = 8;

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

void PutMover::expect(Rank /*from*/, const Filling& filling) { expected_.push_back(filling); }

void PutMover::put(Rank to, std::span<const std::byte> payload, const Filling& filling) {
  sending_.push_back({.to = to,
                      .memory = static_cast<WindowSlots*>(filling.memory),
                      .slot = filling.slot,
                      .stamp = filling.stamp,
                      .number = filling.number,
                      .payload = payload});
  start_pieces(sending_.back());
}

void PutMover::start_pieces(Sending& sending) {
  while (sending.started < sending.payload.size() && sending.under_way < kPiecesUnderWay) {
    const std::size_t bytes = std::min(piece_bytes_, sending.payload.size() - sending.started);
    sending.memory->window().put(sending.payload.subspan(sending.started, bytes), sending.to,
                                 sending.memory->offset_of(sending.slot) + sending.started, puts_,
                                 sending.number);
    sending.started += bytes;
    ++sending.under_way;
  }
}

void PutMover::put_word(Sending& sending) {
  sending.memory->window().flush(sending.to);
  sending.has_put_word = true;
  sending.memory->window().put(std::as_bytes(std::span(&sending.stamp, 1)), sending.to,
                               sending.memory->word_of(sending.slot), puts_, sending.number);
  ++sending.under_way;
}

void PutMover::poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) {
  finished_.clear();
  puts_.poll(finished_);
  for (const std::uint64_t number : finished_) {
    const auto entry = std::ranges::find(sending_, number, &Sending::number);
    --entry->under_way;
    start_pieces(*entry);
    if (entry->under_way > 0) continue;
    if (!entry->has_put_word) {
      put_word(*entry);
      continue;
    }
    entry->memory->window().flush(entry->to);
    sending_.erase(entry);
    sent.push_back(number);
  }
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

}  // namespace gossip::transport::rma
