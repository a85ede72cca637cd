// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include <libgossip/engine/pairs/pair_chunks.h>
#include <libgossip/kernels/vector.h>

namespace gossip::engine {
namespace {

/// Elements of a range that stays in cache while an event passes over it several times.
constexpr std::size_t kBlock = 8192;

constexpr std::size_t kCacheLine = 64;

/// The block of each vector; `blocks` keeps its memory.
void ranges(algorithm::State whole, std::size_t begin, std::size_t size,
            std::vector<VectorView>& blocks) {
  blocks.clear();
  for (const VectorView& vector : whole) blocks.push_back(vector.part(begin, size));
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

struct alignas(kCacheLine) PairChunks::Marks {
  bool has_changes = false;  // that its owner has not taken in
  bool awaits_answer = false;
  bool is_paused = false;
};

PairChunks::PairChunks(transport::Group& group,
                       std::shared_ptr<const algorithm::PairAlgorithm> algorithm,
                       const std::vector<VectorView>& shapes, std::vector<double> elapsed,
                       std::chrono::milliseconds timeout)
    : rank_(group.rank()),
      algorithm_(std::move(algorithm)),
      elapsed_(std::move(elapsed)),
      chunks_(group, shapes, kStateCopy + algorithm_->num_vectors(), timeout),
      marks_(group.make_region(chunks_.count() * sizeof(Marks))),
      difference_(kBlock * sizeof(double)),
      peer_payload_(kBlock * sizeof(double)) {
  // Nobody else looks at them before this rank lets go of a chunk.
  for (std::size_t index = 0; index < count(); ++index) new (&marks(rank_, index)) Marks;
}

PairChunks::Marks& PairChunks::marks(Rank of, std::size_t index) const {
  return reinterpret_cast<Marks*>(marks_->of(of).data())[index];
}

std::size_t PairChunks::memory_bytes() const {
  return chunks_.memory_bytes() + marks_->of(rank_).size();
}

void PairChunks::open(std::size_t index) {
  lock(index);
  if (!algorithm_->is_relative()) take_in(index);
}

/// Changes of a relative state are taken in here, so that a chunk waits for its own pass only.
void PairChunks::close(std::size_t index) {
  if (algorithm_->is_relative()) {
    take_in(index);
  } else {
    copy(model(rank_, index), chunks_.chunk(rank_, kStateCopy, index));
  }
  marks(rank_, index).is_paused = false;
  unlock(index);
}

void PairChunks::take_in(std::size_t index) {
  bool& has_changes = marks(rank_, index).has_changes;
  if (!has_changes) return;
  has_changes = false;
  if (algorithm_->is_relative()) {
    take_in_changes(index);
  } else {
    copy(chunks_.chunk(rank_, kStateCopy, index), model(rank_, index));
  }
}

/// model += state[0]; the rest of the state stays what it is, relative to the new model. What was
/// taken in counts as zero from now on: see begin_changes().
void PairChunks::take_in_changes(std::size_t index) {
  visit(model(rank_, index), [&]<class T>(std::span<T> own) {
    for (std::size_t begin = 0; begin < own.size(); begin += kBlock) {
      const std::size_t size = std::min(kBlock, own.size() - begin);
      const auto block = [&](int vector) {
        return chunks_.chunk(rank_, vector, index).as<T>().subspan(begin, size);
      };
      const std::span<const T> increment(block(kStateCopy));
      kernels::axpby(1.0, increment, 1.0, own.subspan(begin, size));
      for (int v = 1; v < algorithm_->num_vectors(); ++v) {
        kernels::axpby(-1.0, increment, 1.0, block(kStateCopy + v));
      }
    }
  });
}

void PairChunks::pause(std::size_t index) {
  lock(index);
  marks(rank_, index).is_paused = !algorithm_->is_relative();
  unlock(index);
}

std::vector<VectorView>& PairChunks::state_of(Rank of, std::size_t index) {
  std::vector<VectorView>& state = of == rank_ ? state_ : peer_state_;
  state.clear();
  for (int v = 0; v < algorithm_->num_vectors(); ++v) {
    state.push_back(chunks_.chunk(of, kStateCopy + v, index));
  }
  return state;
}

/// The first change of a rank's chunk since its owner took it in.
void PairChunks::begin_changes(Rank of, std::size_t index, const std::vector<VectorView>& block) {
  if (marks(of, index).has_changes || !algorithm_->is_relative()) return;
  std::memset(block.front().data, 0, block.front().bytes());
}

/// Of a block of the state; `model` is that of the model.
void PairChunks::write_payload(const VectorView& out, const VectorView& model,
                               const std::vector<VectorView>& block) const {
  if (algorithm_->is_relative()) {
    write_sum(out, model, block[0]);
  } else {
    algorithm_->write_payload(block, out);
  }
}

/// Calls `work(begin, block of the model)` for each block of this rank's chunk, which is locked,
/// with own_block_ set to the state's, and marks the chunk.
template <class Work>
void PairChunks::in_blocks(std::size_t index, Work&& work) {
  const VectorView whole = model(rank_, index);
  const std::vector<VectorView>& state = state_of(rank_, index);
  for (std::size_t begin = 0; begin < whole.size; begin += kBlock) {
    const std::size_t size = std::min(kBlock, whole.size - begin);
    ranges(state, begin, size, own_block_);
    begin_changes(rank_, index, own_block_);
    work(begin, whole.part(begin, size));
  }
  marks(rank_, index).has_changes = true;
}

/// The lower rank's lock first, so that two ranks do not wait for each other.
PairChunks::Event PairChunks::try_event(Rank peer, std::size_t index) {
  const Rank first = std::min(rank_, peer);
  const Rank second = std::max(rank_, peer);
  if (!chunks_.try_lock(first, index)) return Event::kBusy;
  Event result = Event::kBusy;
  if (chunks_.try_lock(second, index)) {
    const bool is_pending = marks(first, index).awaits_answer || marks(second, index).awaits_answer;
    if (!is_pending) result = event(peer, index);
    chunks_.unlock(second, index);
  }
  chunks_.unlock(first, index);
  return result;
}

/// Both chunks are locked and free.
PairChunks::Event PairChunks::event(Rank peer, std::size_t index) {
  if (marks(rank_, index).is_paused || marks(peer, index).is_paused) return Event::kPaused;
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
    write_payload(theirs, other.part(begin, own.size), peer_block_);
    subtract(difference, theirs);
    algorithm_->jump(own_block_, difference, 1.0);
    algorithm_->jump(peer_block_, difference, -1.0);
  });
  marks(peer, index).has_changes = true;
  return Event::kDone;
}

bool PairChunks::is_free(std::size_t index) const { return !marks(rank_, index).awaits_answer; }

/// One vector alone has no flow, so asking does not change it.
void PairChunks::write_request(std::size_t index, const VectorView& out, bool is_atomic) {
  marks(rank_, index).awaits_answer = is_atomic;
  if (algorithm_->num_vectors() > 1 || !algorithm_->is_relative()) {
    in_blocks(index, [&](std::size_t begin, const VectorView& own) {
      algorithm_->flow(own_block_, elapsed_[static_cast<std::size_t>(rank_)]);
      write_payload(out.part(begin, own.size), own, own_block_);
    });
  } else if (marks(rank_, index).has_changes) {
    write_sum(out, model(rank_, index), state_of(rank_, index).front());
  } else {
    copy(model(rank_, index), out);
  }
}

bool PairChunks::answer(std::size_t index, const VectorView& theirs, const VectorView& out) {
  if (marks(rank_, index).is_paused) return false;
  in_blocks(index, [&](std::size_t begin, const VectorView& own) {
    algorithm_->flow(own_block_, elapsed_[static_cast<std::size_t>(rank_)]);
    const VectorView difference = out.part(begin, own.size);
    write_payload(difference, own, own_block_);
    subtract(difference, theirs.part(begin, own.size), -1.0);
    algorithm_->jump(own_block_, difference, -1.0);
  });
  return true;
}

void PairChunks::end_request(std::size_t index) { marks(rank_, index).awaits_answer = false; }

void PairChunks::apply_answer(std::size_t index, const VectorView& difference) {
  end_request(index);
  in_blocks(index, [&](std::size_t begin, const VectorView& own) {
    algorithm_->jump(own_block_, difference.part(begin, own.size), 1.0);
  });
}

}  // namespace gossip::engine
