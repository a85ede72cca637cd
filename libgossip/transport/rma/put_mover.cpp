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

void PutMover::expect(Rank from, const Filling& filling) {
  signs_of_life_.receive(communicator_, {}, from, filling.tag, filling.number);
  expected_.push_back(filling);
}

void PutMover::put(Rank to, std::span<const std::byte> payload, const Filling& filling) {
  if (spare_.empty()) spare_.emplace_back();
  auto* memory = static_cast<WindowSlots*>(filling.memory);
  const bool is_first = std::ranges::none_of(
      sending_, [&](const Sending& other) { return other.to == to && other.memory == memory; });
  sending_.splice(sending_.end(), spare_, spare_.begin());
  sending_.back() = {.to = to,
                     .memory = memory,
                     .slot = filling.slot,
                     .tag = filling.tag,
                     .stamp = filling.stamp,
                     .number = filling.number,
                     .payload = payload};
  if (is_first) start(sending_.back());
}

void PutMover::start(Sending& sending) {
  sending.stage = Stage::kPieces;
  start_pieces(sending);
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

/// All operations of its stage are over.
void PutMover::go_on(Sending& sending) {
  if (sending.stage == Stage::kPieces) {
    sending.stage = Stage::kSignOfLife;
    puts_.send_synchronously(communicator_, {}, sending.to, sending.tag, sending.number);
    ++sending.under_way;
  } else {
    put_word(sending);
  }
}

void PutMover::put_word(Sending& sending) {
  sending.memory->window().flush(sending.to);  // the payload is there
  sending.stage = Stage::kWord;
  sending.memory->window().put(std::as_bytes(std::span(&sending.stamp, 1)), sending.to,
                               sending.memory->word_of(sending.slot), puts_, sending.number);
  ++sending.under_way;
}

void PutMover::start_next(Rank to, const WindowSlots* memory) {
  const auto next = std::ranges::find_if(sending_, [&](const Sending& candidate) {
    return candidate.to == to && candidate.memory == memory;
  });
  if (next != sending_.end()) start(*next);
}

void PutMover::poll_puts(std::vector<std::uint64_t>& sent) {
  finished_.clear();
  puts_.poll(finished_);
  for (const std::uint64_t number : finished_) {
    const auto entry = std::ranges::find(sending_, number, &Sending::number);
    --entry->under_way;
    if (entry->stage == Stage::kPieces) start_pieces(*entry);
    if (entry->under_way > 0) continue;
    if (entry->stage != Stage::kWord) {
      go_on(*entry);
      continue;
    }
    entry->memory->window().flush(entry->to);
    spare_.splice(spare_.end(), sending_, entry);
    sent.push_back(number);
    start_next(entry->to, entry->memory);
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
