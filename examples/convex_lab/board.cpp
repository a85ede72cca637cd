// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/board.h"

#include <cstring>

namespace gossip::examples {
namespace {

constexpr std::chrono::microseconds kInterval{500};

std::vector<Rank> peers_of(const transport::Group& group) {
  if (group.rank() != 0) return {0};
  std::vector<Rank> peers;
  for (Rank rank = 1; rank < group.size(); ++rank) peers.push_back(rank);
  return peers;
}

}  // namespace

LabBoard::LabBoard(transport::Group& group, std::size_t num_numbers)
    : rank_(group.rank()),
      peers_(peers_of(group)),
      channel_(group.make_channel({.capacity_bytes = num_numbers * sizeof(double),
                                   .slots = 4,
                                   .reading = transport::Reading::kLatest,
                                   .peers = peers_})) {
  if (rank_ == 0) seen_.assign(peers_.size(), std::vector<double>(num_numbers, 0.0));
}

void LabBoard::show(std::span<const double> numbers) {
  if (publish(numbers)) next_ = Clock::now() + kInterval;
}

const std::vector<std::vector<double>>& LabBoard::look() {
  next_ = Clock::now() + kInterval;
  for (std::size_t k = 0; k < peers_.size(); ++k) {
    const auto message = channel_->latest(peers_[k]);
    if (message) std::memcpy(seen_[k].data(), message->payload().data(), message->payload().size());
  }
  return seen_;
}

bool LabBoard::stop() { return publish({}); }

bool LabBoard::is_stopped() { return rank_ != 0 && channel_->latest(0).has_value(); }

bool LabBoard::publish(std::span<const double> numbers) {
  Rank blocking = -1;
  const auto slot = channel_->try_acquire(peers_, blocking);
  if (!slot) return false;
  if (!numbers.empty()) std::memcpy(slot->data(), numbers.data(), numbers.size_bytes());
  channel_->commit({.bytes = numbers.size_bytes()});
  return true;
}

}  // namespace gossip::examples
