// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <libgossip/transport/group.h>

namespace gossip::transport {
namespace {

/// The copy that a mean works on is not larger.
constexpr std::size_t kAveragedPiece = std::size_t{1} << 24U;

}  // namespace

bool is_one_host(const Group& group) {
  for (Rank rank = 0; rank < group.size(); ++rank) {
    if (!group.shares_memory_with(rank)) return false;
  }
  return true;
}

void average_(Group& group, const VectorView& vector) {
  const std::size_t width = size_of(vector.dtype);
  const std::size_t most = kAveragedPiece / width;
  group.meet(fmt::format("the mean of {} numbers of {} bytes", vector.size, width));
  for (std::size_t begin = 0; begin < vector.size; begin += most) {
    const VectorView piece = vector.part(begin, std::min(most, vector.size - begin));
    const std::unique_ptr<Mean> mean = group.make_mean(piece, CollectiveCall::patience());
    mean->start();
    mean->wait();
  }
}

double mean_of(Group& group, double value) {
  average_(group, std::span<double>(&value, 1));
  return value;
}

}  // namespace gossip::transport
