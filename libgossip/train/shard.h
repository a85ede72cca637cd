// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Which training samples a rank sees, epoch by epoch.

#include <cstdint>
#include <span>
#include <vector>

#include <libgossip/base/types.h>

namespace gossip::train {

struct ShardOptions {
  std::int64_t num_samples = 0;  ///< of the whole data set
  std::int64_t batch_size = 0;   ///< samples of one batch of one rank
  Rank rank = 0;
  int size = 1;
  std::uint64_t seed = 0;  ///< the same on every rank
  /// The samples that are this rank's in all epochs, as many on every rank; empty: all samples are
  /// divided anew in each epoch. `num_samples` still counts those of all ranks.
  std::vector<std::int64_t> own = {};
};

/// Divides a data set among the ranks anew in every training epoch, or shuffles a rank's own part.
///
/// The samples are shuffled by a permutation that depends on the seed and the epoch only, hence is
/// the same on every rank, and handed out batch by batch: batch k of the permutation goes to rank k
/// mod `size`. Every rank gets the same number of full batches, so none waits for another that has
/// more; the samples that are left over (fewer than `size` * `batch_size`) are dropped. They are
/// others in every epoch, and no sample is seen twice within one.
///
///     train::Shard shard({.num_samples = n, .batch_size = 64, .rank = rank, .size = size});
///     for (std::int64_t step = 0; step < shard.steps_per_epoch(); ++step) {
///       use(shard.indices(epoch, step));
///     }
///
/// Local: no call communicates. Memory: 8 bytes a sample of the whole data set.
/// Threads: calls on one shard must not overlap.
class Shard {
 public:
  /// Throws gossip::Error when an option is out of range, or `batch_size` exceeds a rank's share of
  /// the samples.
  explicit Shard(const ShardOptions& options);

  /// Batches of each rank in one training epoch; at least 1.
  [[nodiscard]] std::int64_t steps_per_epoch() const noexcept { return steps_; }

  /// Samples of each rank in one training epoch.
  [[nodiscard]] std::int64_t samples_per_epoch() const noexcept {
    return steps_ * options_.batch_size;
  }

  /// The samples of this rank in `step` (from 0) of training epoch `epoch` (any numbering):
  /// `batch_size` numbers in [0, num_samples). A pure function of its arguments and the options.
  /// Valid until the next call with another epoch. The first call of an epoch shuffles (1 ms for
  /// 60,000 samples); none allocates. Throws gossip::Error when `step` is out of range.
  [[nodiscard]] std::span<const std::int64_t> indices(std::int64_t epoch, std::int64_t step);

 private:
  void shuffle(std::int64_t epoch);

  ShardOptions options_;
  std::int64_t steps_;
  std::int64_t shuffled_epoch_ = 0;
  std::vector<std::int64_t> permutation_;
};

}  // namespace gossip::train
