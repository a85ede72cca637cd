// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The exact mean of a large vector, piece by piece, so that it can start before the vector is
/// complete.

#include <memory>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/base/vector_view.h>
#include <libgossip/engine/counters.h>
#include <libgossip/transport/group.h>

namespace gossip::engine {

/// Buckets in the order in which they are started: the given order. The caller says which are
/// ready, in any order; all ranks start them in the same one.
///
/// Collective: construction, destruction, and finish(); ready() is not, but starts collective
/// operations, so all ranks make every bucket ready or call finish(). Threads: one per rank at a
/// time.
class BucketedMean {
 public:
  /// `buckets` must outlive this object; all ranks pass the same types and sizes.
  BucketedMean(transport::Group& group, const std::vector<VectorView>& buckets,
               const Patience& patience);
  BucketedMean(const BucketedMean&) = delete;
  BucketedMean& operator=(const BucketedMean&) = delete;

  /// Finishes what runs, which the other ranks have started too; not while an exception unwinds
  /// the stack.
  ~BucketedMean();

  /// Bucket `index` is complete: starts it as soon as all before it are started. Does not block.
  void ready(std::size_t index);

  /// True from the first ready() to the end of finish().
  [[nodiscard]] bool is_running() const noexcept { return is_running_; }

  /// Starts what is not started and blocks until all buckets hold the mean.
  void finish();

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  void start_ready();

  std::vector<std::unique_ptr<transport::Mean>> means_;
  std::vector<bool> is_ready_;
  std::size_t started_ = 0;
  bool is_running_ = false;
  std::uint64_t nominal_bytes_ = 0;
  Counters counters_;
  int exceptions_;
};

/// `vectors` cut into buckets of at most `bucket_bytes`.
[[nodiscard]] std::vector<VectorView> cut_into_buckets(const std::vector<VectorView>& vectors,
                                                       std::size_t bucket_bytes);

}  // namespace gossip::engine
