// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <new>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/notice.h>
#include <libgossip/transport/agreement.h>
#include <libgossip/transport/shared_chunks.h>

namespace gossip::transport {
namespace {

constexpr std::size_t kCacheLine = 64;

std::string description_of(const std::vector<VectorView>& shapes) {
  std::string text;
  for (const VectorView& shape : shapes) {
    text += fmt::format("{} elements of {} bytes; ", shape.size, size_of(shape.dtype));
  }
  return text;
}

}  // namespace

struct alignas(kCacheLine) SharedChunks::Lock {
  std::atomic<Rank> holder{-1};
};

SharedChunks::SharedChunks(Group& group, const std::vector<VectorView>& shapes, int copies,
                           std::chrono::milliseconds timeout)
    : rank_(group.rank()), timeout_(timeout), shapes_(shapes) {
  require_agreement(group, "vectors to exchange", description_of(shapes));
  for (const VectorView& shape : shapes_) {
    offsets_.push_back(copy_bytes_);
    const std::size_t step = kChunkBytes / size_of(shape.dtype);
    for (std::size_t begin = 0; begin < shape.size; begin += step) {
      const std::size_t size = std::min(step, shape.size - begin);
      chunks_.push_back({shape.dtype, copy_bytes_ + begin * size_of(shape.dtype), size});
      largest_bytes_ = std::max(largest_bytes_, size * size_of(shape.dtype));
    }
    copy_bytes_ += (shape.bytes() + kCacheLine - 1) / kCacheLine * kCacheLine;
  }
  region_ = group.make_region(chunks_.size() * sizeof(Lock) +
                              static_cast<std::size_t>(copies) * copy_bytes_);
  for (std::size_t index = 0; index < chunks_.size(); ++index) {
    (new (&lock_of(rank_, index)) Lock)->holder = rank_;
  }
  std::memset(start_of(rank_, 0), 0, static_cast<std::size_t>(copies) * copy_bytes_);
  group.barrier();
}

SharedChunks::Lock& SharedChunks::lock_of(Rank of, std::size_t index) const {
  return reinterpret_cast<Lock*>(region_->of(of).data())[index];
}

std::byte* SharedChunks::start_of(Rank of, int copy) const {
  return region_->of(of).data() + chunks_.size() * sizeof(Lock) +
         static_cast<std::size_t>(copy) * copy_bytes_;
}

VectorView SharedChunks::chunk(Rank of, int copy, std::size_t index) const {
  const Chunk& chunk = chunks_[index];
  return {chunk.dtype, start_of(of, copy) + chunk.offset, chunk.size};
}

std::vector<VectorView> SharedChunks::copy(int copy) const {
  std::vector<VectorView> vectors;
  for (std::size_t v = 0; v < shapes_.size(); ++v) {
    vectors.emplace_back(shapes_[v].dtype, start_of(rank_, copy) + offsets_[v], shapes_[v].size);
  }
  return vectors;
}

bool SharedChunks::try_lock(Rank of, std::size_t index) const {
  std::atomic<Rank>& holder = lock_of(of, index).holder;
  Rank nobody = -1;
  return holder.load(std::memory_order_relaxed) == nobody &&
         holder.compare_exchange_strong(nobody, rank_, std::memory_order_acquire,
                                        std::memory_order_relaxed);
}

void SharedChunks::unlock(Rank of, std::size_t index) const noexcept {
  lock_of(of, index).holder.store(-1, std::memory_order_release);
}

void SharedChunks::lock_own(std::size_t index) const {
  const auto attempt = [&] { return try_lock(rank_, index); };
  if (attempt()) return;
  const auto holder_of = [&] { return lock_of(rank_, index).holder.load(); };
  const Deadline deadline(timeout_);
  Notice notice(rank_, deadline);
  const auto while_waiting = [&] {
    notice.look([&] { return fmt::format("rank {} to end an exchange", holder_of()); });
  };
  if (wait_until(deadline, attempt, std::cref(while_waiting))) return;
  const Rank holder = holder_of();
  throw TimeoutError(holder,
                     fmt::format("Rank {} waited {} ms for chunk {} of its model, which rank {} "
                                 "holds for an exchange: that rank has ended or hangs.",
                                 rank_, timeout_.count(), index, holder));
}

std::size_t SharedChunks::memory_bytes() const { return region_->of(rank_).size(); }

}  // namespace gossip::transport
