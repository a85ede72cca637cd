// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <utility>

#include <libgossip/engine/pairs/pair_pieces.h>
#include <libgossip/kernels/vector.h>

namespace gossip::engine {
namespace {

/// Elements of a range that stays in cache while an event passes over it several times.
constexpr std::size_t kBlock = 8192;

VectorView range(const VectorView& vector, std::size_t begin, std::size_t size) {
  return {vector.dtype, static_cast<std::byte*>(vector.data) + begin * size_of(vector.dtype), size};
}

/// The part of each vector; `parts` keeps its memory.
void ranges(algorithm::State whole, std::size_t begin, std::size_t size,
            std::vector<VectorView>& parts) {
  parts.clear();
  for (const VectorView& vector : whole) parts.push_back(range(vector, begin, size));
}

void copy(const VectorView& from, const VectorView& to) {
  std::memcpy(to.data, from.data, from.bytes());
}

void write_sum(const VectorView& out, const VectorView& a, const VectorView& b) {
  visit(out, [&]<class T>(std::span<T> values) {
    kernels::sum(values, std::span<const T>(a.as<T>()), std::span<const T>(b.as<T>()));
  });
}

/// a <- sign (a - b).
void subtract(const VectorView& a, const VectorView& b, double sign = 1.0) {
  visit(a, [&]<class T>(std::span<T> values) {
    kernels::axpby(-sign, std::span<const T>(b.as<T>()), sign, values);
  });
}

}  // namespace

PairPieces::PairPieces(transport::Group& group,
                       std::shared_ptr<const algorithm::PairAlgorithm> algorithm,
                       const std::vector<VectorView>& shapes, std::vector<double> elapsed,
                       std::chrono::milliseconds timeout)
    : SharedPieces(group, shapes, kStateCopy + algorithm->num_vectors(), timeout),
      rank_(group.rank()),
      algorithm_(std::move(algorithm)),
      elapsed_(std::move(elapsed)),
      difference_(kBlock * sizeof(double)),
      peer_payload_(kBlock * sizeof(double)) {}

void PairPieces::open(std::size_t index) {
  lock_own(index);
  if (!algorithm_->is_relative()) take_in(index);
}

/// Changes of a relative state are taken in here, so that a piece waits for its own pass only.
void PairPieces::close(std::size_t index) {
  if (algorithm_->is_relative()) {
    take_in(index);
  } else {
    engine::copy(model(rank_, index), piece(rank_, kStateCopy, index));
  }
  is_away(rank_, index) = false;
  unlock(rank_, index);
}

void PairPieces::take_in(std::size_t index) {
  if (!is_changed(rank_, index)) return;
  is_changed(rank_, index) = false;
  if (algorithm_->is_relative()) {
    take_in_changes(index);
  } else {
    engine::copy(piece(rank_, kStateCopy, index), model(rank_, index));
  }
}

/// model += state[0]; the rest of the state stays what it is, relative to the new model. What was
/// taken in counts as zero from now on: see begin_changes().
void PairPieces::take_in_changes(std::size_t index) {
  visit(model(rank_, index), [&]<class T>(std::span<T> own) {
    for (std::size_t begin = 0; begin < own.size(); begin += kBlock) {
      const std::size_t size = std::min(kBlock, own.size() - begin);
      const auto block = [&](int copy) {
        return piece(rank_, copy, index).as<T>().subspan(begin, size);
      };
      const std::span<const T> increment(block(kStateCopy));
      kernels::axpby(1.0, increment, 1.0, own.subspan(begin, size));
      for (int v = 1; v < algorithm_->num_vectors(); ++v) {
        kernels::axpby(-1.0, increment, 1.0, block(kStateCopy + v));
      }
    }
  });
}

void PairPieces::leave(std::size_t index) {
  lock_own(index);
  is_away(rank_, index) = !algorithm_->is_relative();
  unlock(rank_, index);
}

std::vector<VectorView>& PairPieces::state_of(Rank of, std::size_t index) {
  std::vector<VectorView>& state = of == rank_ ? state_ : peer_state_;
  state.clear();
  for (int v = 0; v < algorithm_->num_vectors(); ++v) {
    state.push_back(piece(of, kStateCopy + v, index));
  }
  return state;
}

/// The first change of a rank's piece since its owner took it in.
void PairPieces::begin_changes(Rank of, std::size_t index, const std::vector<VectorView>& block) {
  if (is_changed(of, index) || !algorithm_->is_relative()) return;
  std::memset(block.front().data, 0, block.front().bytes());
}

/// Of a block of the state; `model` is that of the model.
void PairPieces::write_payload(const VectorView& out, const VectorView& model,
                               const std::vector<VectorView>& block) const {
  if (algorithm_->is_relative()) {
    write_sum(out, model, block[0]);
  } else {
    algorithm_->write_payload(block, out);
  }
}

/// Calls `work(begin, block of the model)` for each block of this rank's piece, which is locked,
/// with own_block_ set to the state's, and marks the piece.
template <class Work>
void PairPieces::in_blocks(std::size_t index, Work&& work) {
  const VectorView whole = model(rank_, index);
  const std::vector<VectorView>& state = state_of(rank_, index);
  for (std::size_t begin = 0; begin < whole.size; begin += kBlock) {
    const std::size_t size = std::min(kBlock, whole.size - begin);
    ranges(state, begin, size, own_block_);
    begin_changes(rank_, index, own_block_);
    work(begin, range(whole, begin, size));
  }
  is_changed(rank_, index) = true;
}

bool PairPieces::event(Rank peer, std::size_t index) {
  if (is_away(rank_, index) || is_away(peer, index)) return false;
  const VectorView other = model(peer, index);
  const std::vector<VectorView>& peer_state = state_of(peer, index);
  in_blocks(index, [&](std::size_t begin, const VectorView& own) {
    ranges(peer_state, begin, own.size, peer_block_);
    begin_changes(peer, index, peer_block_);
    algorithm_->flow(own_block_, elapsed_[static_cast<std::size_t>(rank_)]);
    algorithm_->flow(peer_block_, elapsed_[static_cast<std::size_t>(peer)]);
    const VectorView difference{own.dtype, difference_.data(), own.size};
    write_payload(difference, own, own_block_);
    const VectorView theirs{own.dtype, peer_payload_.data(), own.size};
    write_payload(theirs, range(other, begin, own.size), peer_block_);
    subtract(difference, theirs);
    algorithm_->jump(own_block_, difference, 1.0);
    algorithm_->jump(peer_block_, difference, -1.0);
  });
  is_changed(peer, index) = true;
  return true;
}

/// One vector alone has no flow, so asking does not change it.
void PairPieces::write_request(std::size_t index, const VectorView& out, bool is_atomic) {
  is_owed(rank_, index) = is_atomic;
  if (algorithm_->num_vectors() > 1 || !algorithm_->is_relative()) {
    in_blocks(index, [&](std::size_t begin, const VectorView& own) {
      algorithm_->flow(own_block_, elapsed_[static_cast<std::size_t>(rank_)]);
      write_payload(range(out, begin, own.size), own, own_block_);
    });
  } else if (is_changed(rank_, index)) {
    write_sum(out, model(rank_, index), state_of(rank_, index).front());
  } else {
    engine::copy(model(rank_, index), out);
  }
}

bool PairPieces::answer(std::size_t index, const VectorView& theirs, const VectorView& out) {
  if (is_away(rank_, index)) return false;
  in_blocks(index, [&](std::size_t begin, const VectorView& own) {
    algorithm_->flow(own_block_, elapsed_[static_cast<std::size_t>(rank_)]);
    const VectorView difference = range(out, begin, own.size);
    write_payload(difference, own, own_block_);
    subtract(difference, range(theirs, begin, own.size), -1.0);
    algorithm_->jump(own_block_, difference, -1.0);
  });
  return true;
}

void PairPieces::apply_answer(std::size_t index, const VectorView& difference) {
  end_request(index);
  in_blocks(index, [&](std::size_t begin, const VectorView& own) {
    algorithm_->jump(own_block_, range(difference, begin, own.size), 1.0);
  });
}

}  // namespace gossip::engine
