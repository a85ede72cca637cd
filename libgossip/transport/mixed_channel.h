// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The channel between ranks of which some share memory and some do not.

#include <memory>
#include <vector>

#include <libgossip/transport/channel.h>
#include <libgossip/transport/memory_channel.h>
#include <libgossip/transport/network_channel.h>

namespace gossip::transport {

/// Chooses for each edge. A message for both kinds of receivers is copied once more, at commit().
class MixedChannel final : public Channel {
 public:
  /// `shares_memory`: by rank, whether it is reached through `memory`.
  MixedChannel(const ChannelOptions& options, Rank self, std::vector<bool> shares_memory,
               std::unique_ptr<MemoryChannel> memory, std::unique_ptr<NetworkChannel> network);

  void commit(const Header& header) override;
  [[nodiscard]] std::optional<Message> try_next(Rank from) override;
  [[nodiscard]] std::optional<Message> latest(Rank from) override;
  [[nodiscard]] std::optional<std::span<std::byte>> try_acquire(std::span<const Rank> to,
                                                                Rank& blocking) override;
  [[nodiscard]] std::size_t memory_bytes() const override;

 private:
  void release(Rank from, int slot) noexcept override;

  std::vector<bool> shares_memory_;
  std::unique_ptr<MemoryChannel> memory_;
  std::unique_ptr<NetworkChannel> network_;
  std::vector<Rank> near_;  // receivers of the acquired slot
  std::vector<Rank> far_;
  std::span<std::byte> near_slot_;  // empty data: none acquired
  std::span<std::byte> far_slot_;
};

}  // namespace gossip::transport
