// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/base/error.h>
#include <libgossip/engine/rounds/bucketed_mean.h>

namespace gossip::engine {

BucketedMean::BucketedMean(transport::Group& group, const std::vector<VectorView>& buckets,
                           const Patience& patience, const std::shared_ptr<const void>& memory)
    : is_ready_(buckets.size(), false) {
  if (group.size() == 1) return;
  std::uint64_t bytes = 0;
  for (const VectorView& bucket : buckets) {
    means_.push_back(group.make_mean(bucket, patience, memory));
    bytes += bucket.bytes();
  }
  const auto ranks = static_cast<std::uint64_t>(group.size());
  nominal_bytes_ = 2 * (ranks - 1) * bytes / ranks;
  if (memory == nullptr) copied_bytes_ = bytes;
}

void BucketedMean::ready(std::size_t index) {
  if (has_failed_) return;  // finish() says so
  is_running_ = true;
  is_ready_[index] = true;
  start_ready();
}

void BucketedMean::start_ready() {
  has_failed_ = true;  // unless all could be started
  while (started_ < means_.size() && is_ready_[started_]) means_[started_++]->start();
  if (started_ > 0) means_.front()->progress();
  has_failed_ = false;
}

void BucketedMean::finish() {
  GOSSIP_CHECK(!has_failed_,
               "The ranks' mean failed before, and they are not in the same one any more: make a "
               "new optimizer, on all ranks together.");
  std::fill(is_ready_.begin(), is_ready_.end(), true);
  start_ready();
  const Clock::time_point start = Clock::now();
  is_running_ = false;
  has_failed_ = true;  // unless all buckets are complete
  for (const std::unique_ptr<transport::Mean>& mean : means_) mean->await();
  for (const std::unique_ptr<transport::Mean>& mean : means_) mean->take();
  has_failed_ = false;
  counters_.wait_seconds += seconds_between(start, Clock::now());
  counters_.bytes_sent += nominal_bytes_;
  counters_.bytes_received += nominal_bytes_;
  ++counters_.gossip_rounds;
  std::fill(is_ready_.begin(), is_ready_.end(), false);
  started_ = 0;
}

std::vector<VectorView> cut_into_buckets(const std::vector<VectorView>& vectors,
                                         std::size_t bucket_bytes) {
  std::vector<VectorView> buckets;
  for (const VectorView& vector : vectors) {
    const std::size_t step = std::max<std::size_t>(1, bucket_bytes / size_of(vector.dtype));
    for (std::size_t begin = 0; begin < vector.size; begin += step) {
      buckets.push_back(vector.part(begin, std::min(step, vector.size - begin)));
    }
  }
  return buckets;
}

}  // namespace gossip::engine
