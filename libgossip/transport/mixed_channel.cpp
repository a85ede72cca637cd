// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/transport/mixed_channel.h>

namespace gossip::transport {

MixedChannel::MixedChannel(const ChannelOptions& options, Rank self,
                           std::vector<bool> shares_memory, std::unique_ptr<MemoryChannel> memory,
                           std::unique_ptr<NetworkChannel> network)
    : Channel(options, self),
      shares_memory_(std::move(shares_memory)),
      memory_(std::move(memory)),
      network_(std::move(network)) {}

std::optional<std::span<std::byte>> MixedChannel::try_acquire(std::span<const Rank> to,
                                                              Rank& blocking) {
  near_.clear();
  far_.clear();
  for (const Rank rank : to) {
    (shares_memory_[static_cast<std::size_t>(rank)] ? near_ : far_).push_back(rank);
  }
  const bool is_for_all = options().reading == Reading::kLatest;
  const bool needs_far = is_for_all || !far_.empty();
  const bool needs_near = is_for_all || !near_.empty() || far_.empty();
  near_slot_ = far_slot_ = {};
  if (needs_far) {
    const auto slot = network_->try_acquire(far_, blocking);
    if (!slot) return std::nullopt;
    far_slot_ = *slot;
  }
  if (needs_near) {
    const auto slot = memory_->try_acquire(near_, blocking);
    if (!slot) {
      if (needs_far) network_->cancel();
      return std::nullopt;
    }
    near_slot_ = *slot;
    return near_slot_;
  }
  return far_slot_;
}

void MixedChannel::commit(const Header& header) {
  const bool is_near = near_slot_.data() != nullptr;
  const bool is_far = far_slot_.data() != nullptr;
  if (is_near && is_far && header.bytes > 0) {
    std::memcpy(far_slot_.data(), near_slot_.data(), header.bytes);
  }
  if (is_far) {
    network_->commit(header);
  } else {
    network_->enter(header.round);
  }
  if (is_near) memory_->commit(header);
}

std::optional<Message> MixedChannel::try_next(Rank from) {
  if (shares_memory_[static_cast<std::size_t>(from)]) return memory_->try_next(from);
  return network_->try_next(from);
}

std::optional<Message> MixedChannel::latest(Rank from) {
  if (shares_memory_[static_cast<std::size_t>(from)]) return memory_->latest(from);
  return network_->latest(from);
}

std::size_t MixedChannel::memory_bytes() const {
  return memory_->memory_bytes() + network_->memory_bytes();
}

/// Never called: messages belong to the channel that they came through.
void MixedChannel::release(Rank /*from*/, int /*slot*/) noexcept {}

}  // namespace gossip::transport
