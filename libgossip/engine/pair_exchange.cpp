// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <new>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/engine/pair_exchange.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kPieceBytes = std::size_t{1} << 20U;

}  // namespace

/// Written by the rank in whose part it lies, read by the rank it meets: how many meetings it came
/// to and did its half of.
struct alignas(kCacheLine) PairExchange::Meeting {
  std::atomic<std::uint64_t> arrived{0};
  std::atomic<std::uint64_t> done{0};
};

struct alignas(kCacheLine) PairExchange::Lock {
  std::atomic<bool> is_held{false};
};

PairExchange::PairExchange(transport::Group& group, Dtype dtype, std::size_t size,
                           std::chrono::milliseconds timeout)
    : rank_(group.rank()),
      ranks_(group.size()),
      dtype_(dtype),
      size_(size),
      num_pieces_((size * size_of(dtype) + kPieceBytes - 1) / kPieceBytes),
      timeout_(timeout),
      meetings_(static_cast<std::size_t>(group.size()), 0) {
  transport::require_agreement(group, "vector to exchange",
                               fmt::format("{} elements of {} bytes", size, size_of(dtype)));
  const std::size_t words =
      static_cast<std::size_t>(ranks_) * sizeof(Meeting) + num_pieces_ * sizeof(Lock);
  region_ = group.make_region(words + size * size_of(dtype));
  for (Rank other = 0; other < ranks_; ++other) new (&meeting(rank_, other)) Meeting;
  for (std::size_t piece = 0; piece < num_pieces_; ++piece) new (&piece_lock(rank_, piece)) Lock;
  visit(copy(), [](auto values) { std::fill(values.begin(), values.end(), 0); });
  group.barrier();
}

PairExchange::Meeting& PairExchange::meeting(Rank of, Rank with) const {
  return reinterpret_cast<Meeting*>(region_->of(of).data())[with];
}

PairExchange::Lock& PairExchange::piece_lock(Rank of, std::size_t piece) const {
  std::byte* start = region_->of(of).data() + static_cast<std::size_t>(ranks_) * sizeof(Meeting);
  return reinterpret_cast<Lock*>(start)[piece];
}

VectorView PairExchange::copy_of(Rank rank) const {
  std::byte* start = region_->of(rank).data() + static_cast<std::size_t>(ranks_) * sizeof(Meeting) +
                     num_pieces_ * sizeof(Lock);
  return {dtype_, start, size_};
}

VectorView PairExchange::piece_of(Rank rank, std::size_t index) const {
  const std::size_t step = kPieceBytes / size_of(dtype_);
  const std::size_t begin = index * step;
  return {dtype_, static_cast<std::byte*>(copy_of(rank).data) + index * kPieceBytes,
          std::min(step, size_ - begin)};
}

void PairExchange::lock_piece(Rank of, std::size_t piece) {
  std::atomic<bool>& is_held = piece_lock(of, piece).is_held;
  const auto try_lock = [&] {
    return !is_held.load(std::memory_order_relaxed) &&
           !is_held.exchange(true, std::memory_order_acquire);
  };
  if (try_lock()) return;
  if (!wait_until(Deadline(timeout_), try_lock)) {
    throw TimeoutError(
        of, fmt::format("Rank {} waited {} ms for piece {} of rank {}'s copy: a rank that "
                        "exchanged with it has ended or hangs.",
                        rank_, timeout_.count(), piece, of));
  }
}

void PairExchange::unlock_piece(Rank of, std::size_t piece) noexcept {
  piece_lock(of, piece).is_held.store(false, std::memory_order_release);
}

void PairExchange::exchange_piece(Rank peer, std::size_t piece, double alpha) {
  const Rank first = std::min(rank_, peer);
  const Rank second = std::max(rank_, peer);
  lock_piece(first, piece);
  try {
    lock_piece(second, piece);
  } catch (...) {
    unlock_piece(first, piece);
    throw;
  }
  const VectorView other = piece_of(peer, piece);
  visit(piece_of(rank_, piece),
        [&]<class T>(std::span<T> own) { kernels::pair_event(own, other.as<T>(), alpha); });
  unlock_piece(second, piece);
  unlock_piece(first, piece);
}

void PairExchange::exchange(Rank peer, double alpha) {
  GOSSIP_CHECK(peer >= 0 && peer < ranks_ && peer != rank_,
               "Rank {} cannot exchange with rank {}: a peer is another rank of the {}.", rank_,
               peer, ranks_);
  for (std::size_t piece = 0; piece < num_pieces_; ++piece) exchange_piece(peer, piece, alpha);
}

void PairExchange::meet(Rank peer, double alpha) {
  GOSSIP_CHECK(peer >= 0 && peer < ranks_ && peer != rank_,
               "Rank {} cannot meet rank {}: a peer is another rank of the {}.", rank_, peer,
               ranks_);
  const std::uint64_t number = ++meetings_[static_cast<std::size_t>(peer)];
  Meeting& own = meeting(rank_, peer);
  const Meeting& theirs = meeting(peer, rank_);
  const auto wait_for = [&](const std::atomic<std::uint64_t>& word) {
    if (wait_until(Deadline(timeout_),
                   [&] { return word.load(std::memory_order_acquire) >= number; }))
      return;
    throw TimeoutError(peer, fmt::format("Rank {} did not meet rank {} within {} ms (meeting {}).",
                                         peer, rank_, timeout_.count(), number));
  };
  own.arrived.store(number, std::memory_order_release);
  wait_for(theirs.arrived);
  const std::size_t half = (num_pieces_ + 1) / 2;
  const std::size_t begin = rank_ < peer ? 0 : half;
  const std::size_t end = rank_ < peer ? half : num_pieces_;
  for (std::size_t piece = begin; piece < end; ++piece) exchange_piece(peer, piece, alpha);
  own.done.store(number, std::memory_order_release);
  wait_for(theirs.done);
}

}  // namespace gossip::engine
