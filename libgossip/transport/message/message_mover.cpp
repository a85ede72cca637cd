// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/base/error.h>
#include <libgossip/transport/message/message_mover.h>

namespace gossip::transport::message {
namespace {

/// Pieces of one payload under way at a time: enough to keep the wire busy, few enough for several
/// payloads to share it.
constexpr int kPiecesUnderWay = 8;

}  // namespace

MessageMover::MessageMover(mpi::Communicator communicator, std::size_t piece_bytes)
    : communicator_(std::move(communicator)), piece_bytes_(piece_bytes) {}

std::unique_ptr<SlotMemory> MessageMover::make_slots(int count, std::size_t capacity) {
  return make_private_slots(count, capacity);
}

void MessageMover::expect(Rank from, const Filling& filling) {
  const std::span<std::byte> slot = filling.memory->slot(filling.slot).first(filling.bytes);
  std::size_t pieces = 0;
  for (std::size_t begin = 0; begin < slot.size(); begin += piece_bytes_) {
    receives_.receive(communicator_,
                      slot.subspan(begin, std::min(piece_bytes_, slot.size() - begin)), from,
                      filling.tag, filling.number);
    ++pieces;
  }
  receiving_.push_back({filling.number, pieces});
}

void MessageMover::put(Rank to, std::span<const std::byte> payload, const Filling& filling) {
  sending_.push_back({.to = to, .tag = filling.tag, .number = filling.number, .left = payload});
  start_pieces(sending_.back());
}

void MessageMover::start_pieces(Sending& sending) {
  while (!sending.left.empty() && sending.pieces_under_way < kPiecesUnderWay) {
    const std::size_t bytes = std::min(piece_bytes_, sending.left.size());
    sends_.send(communicator_, sending.left.first(bytes), sending.to, sending.tag, sending.number);
    sending.left = sending.left.subspan(bytes);
    ++sending.pieces_under_way;
  }
}

void MessageMover::poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) {
  finished_.clear();
  receives_.poll(finished_);
  for (const std::uint64_t number : finished_) {
    const auto entry = std::ranges::find(receiving_, number, &Receiving::number);
    if (--entry->pieces_left > 0) continue;
    receiving_.erase(entry);
    arrived.push_back(number);
  }
  finished_.clear();
  sends_.poll(finished_);
  for (const std::uint64_t number : finished_) {
    const auto entry = std::ranges::find(sending_, number, &Sending::number);
    --entry->pieces_under_way;
    start_pieces(*entry);
    if (entry->pieces_under_way > 0) continue;
    sending_.erase(entry);
    sent.push_back(number);
  }
}

}  // namespace gossip::transport::message
