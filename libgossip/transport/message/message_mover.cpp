// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/base/error.h>
#include <libgossip/transport/message/message_mover.h>

namespace gossip::transport::message {
namespace {

/// Pieces of one payload under way at a time: enough to keep the wire busy, few enough for several
/// payloads to share it. A receiver has more receives posted, so that pieces find their place.
constexpr int kSendsUnderWay = 8;
constexpr int kReceivesUnderWay = 64;

}  // namespace

MessageMover::MessageMover(mpi::Communicator communicator, std::size_t piece_bytes)
    : communicator_(std::move(communicator)), piece_bytes_(piece_bytes) {}

std::unique_ptr<SlotMemory> MessageMover::make_slots(int count, std::size_t capacity,
                                                     const NetworkMembers& /*members*/) {
  return make_private_slots(count, capacity);
}

void MessageMover::expect(Rank from, const Filling& filling) {
  const std::span<std::byte> slot = filling.memory->slot(filling.slot).first(filling.bytes);
  receiving_.push_back({{from, filling.tag, filling.number, filling.bytes}, slot});
  start_pieces(receiving_.back());
}

void MessageMover::put(Rank to, std::span<const std::byte> payload, const Filling& filling) {
  sending_.push_back({{to, filling.tag, filling.number, filling.bytes}, payload});
  start_pieces(sending_.back());
}

void MessageMover::start_pieces(Receiving& receiving) {
  while (receiving.started < receiving.bytes && receiving.pieces_under_way < kReceivesUnderWay) {
    const std::size_t bytes = std::min(piece_bytes_, receiving.bytes - receiving.started);
    receives_.receive(communicator_, receiving.slot.subspan(receiving.started, bytes),
                      receiving.peer, receiving.tag, receiving.number);
    receiving.started += bytes;
    ++receiving.pieces_under_way;
  }
}

/// Where the payload is shorter than the filling its last pieces are shorter, or empty.
void MessageMover::start_pieces(Sending& sending) {
  while (sending.started < sending.bytes && sending.pieces_under_way < kSendsUnderWay) {
    const std::size_t begin = std::min(sending.started, sending.payload.size());
    const std::size_t bytes = std::min(piece_bytes_, sending.payload.size() - begin);
    sends_.send(communicator_, sending.payload.subspan(begin, bytes), sending.peer, sending.tag,
                sending.number);
    sending.started += std::min(piece_bytes_, sending.bytes - sending.started);
    ++sending.pieces_under_way;
  }
}

template <class Direction>
void MessageMover::advance(mpi::Operations& operations, std::vector<Direction>& transfers,
                           std::vector<std::uint64_t>& done) {
  finished_.clear();
  operations.poll(finished_);
  for (const std::uint64_t number : finished_) {
    const auto entry = std::ranges::find(transfers, number, &Direction::number);
    --entry->pieces_under_way;
    start_pieces(*entry);
    if (entry->pieces_under_way > 0) continue;
    transfers.erase(entry);
    done.push_back(number);
  }
}

void MessageMover::poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) {
  advance(receives_, receiving_, arrived);
  advance(sends_, sending_, sent);
}

}  // namespace gossip::transport::message
