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
///
/// What runs at its end is given up. A finish() that throws has changed no bucket that has no
/// memory of its own (below). The object is of no use then: the next finish() throws gossip::Error,
/// and ready() does nothing.
class BucketedMean {
 public:
  /// `buckets` must outlive this object; all ranks pass the same types and sizes. `memory` keeps
  /// them alive, see Group::make_mean(): without it the mean takes as much memory as they.
  BucketedMean(transport::Group& group, const std::vector<VectorView>& buckets,
               const Patience& patience, const std::shared_ptr<const void>& memory = nullptr);
  BucketedMean(const BucketedMean&) = delete;
  BucketedMean& operator=(const BucketedMean&) = delete;

  /// Bucket `index` is complete: starts it as soon as all before it are started. Does not block.
  void ready(std::size_t index);

  /// True from the first ready() to the end of finish().
  [[nodiscard]] bool is_running() const noexcept { return is_running_ && !has_failed_; }

  /// Starts what is not started and blocks until all buckets hold the mean.
  void finish();

  /// Does without what runs, and for good, as after an error: on all ranks together.
  void give_up() noexcept { has_failed_ = true; }
  [[nodiscard]] bool has_failed() const noexcept { return has_failed_; }

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

  /// Of the copies that it works on.
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return copied_bytes_; }

 private:
  void start_ready();

  std::vector<std::unique_ptr<transport::Mean>> means_;
  std::vector<bool> is_ready_;
  std::size_t started_ = 0;
  bool is_running_ = false;
  bool has_failed_ = false;
  std::uint64_t nominal_bytes_ = 0;
  std::size_t copied_bytes_ = 0;
  Counters counters_;
};

/// `vectors` cut into buckets of at most `bucket_bytes`.
[[nodiscard]] std::vector<VectorView> cut_into_buckets(const std::vector<VectorView>& vectors,
                                                       std::size_t bucket_bytes);

}  // namespace gossip::engine
