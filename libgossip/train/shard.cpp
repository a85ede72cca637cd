// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/train/shard.h>

namespace gossip::train {
namespace {

std::int64_t steps_per_epoch(const ShardOptions& options) {
  GOSSIP_CHECK(options.size >= 1, "The number of ranks must be at least 1, not {}", options.size);
  GOSSIP_CHECK(options.rank >= 0 && options.rank < options.size,
               "There is no rank {} among {} ranks", options.rank, options.size);
  GOSSIP_CHECK(options.batch_size >= 1, "The batch size must be at least 1, not {}",
               options.batch_size);
  const std::int64_t share = options.own.empty() ? options.num_samples / options.size
                                                 : static_cast<std::int64_t>(options.own.size());
  GOSSIP_CHECK(
      options.batch_size <= share,
      "The batch size {} exceeds the shard of a rank: {} samples among {} ranks are {} each",
      options.batch_size, options.num_samples, options.size, share);
  return share / options.batch_size;
}

}  // namespace

Shard::Shard(const ShardOptions& options)
    : options_(options),
      steps_(train::steps_per_epoch(options)),
      permutation_(options.own.empty() ? static_cast<std::size_t>(options.num_samples)
                                       : options.own.size()) {
  shuffle(shuffled_epoch_);
}

std::span<const std::int64_t> Shard::indices(std::int64_t epoch, std::int64_t step) {
  GOSSIP_CHECK(step >= 0 && step < steps_, "There is no step {} in a training epoch of {} steps",
               step, steps_);
  if (epoch != shuffled_epoch_) shuffle(epoch);
  const std::int64_t batch = options_.own.empty() ? step * options_.size + options_.rank : step;
  return std::span<const std::int64_t>(permutation_)
      .subspan(static_cast<std::size_t>(batch * options_.batch_size),
               static_cast<std::size_t>(options_.batch_size));
}

// Fisher-Yates from the given order, so that an epoch does not depend on those before it.
void Shard::shuffle(std::int64_t epoch) {
  if (options_.own.empty()) {
    std::iota(permutation_.begin(), permutation_.end(), std::int64_t{0});
  } else {
    std::ranges::copy(options_.own, permutation_.begin());
  }
  SplitMix64 random = SplitMix64::at(options_.seed, static_cast<std::uint64_t>(epoch));
  for (std::size_t left = permutation_.size(); left > 1; --left) {
    std::swap(permutation_[left - 1], permutation_[random.below(left)]);
  }
  shuffled_epoch_ = epoch;
}

}  // namespace gossip::train
