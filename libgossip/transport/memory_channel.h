// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The channel between ranks that address the same memory.

#include <memory>
#include <vector>

#include <libgossip/transport/channel.h>
#include <libgossip/transport/region.h>

namespace gossip::transport {

/// Slots, sequence words and credits in a Region: the same protocol for threads (local/) and
/// processes (shared/).
///
/// Every word has one writer. A sender's part holds, for each receiver, how many messages it posted
/// and in which slots they lie, and then the slots; a receiver's part holds, for each sender, how
/// many it released (kNext) or which slot it reads (kLatest). No lock, no compare-and-swap.
class MemoryChannel final : public Channel {
 public:
  /// Bytes that each rank of a group of `size` contributes to the region. Throws gossip::Error when
  /// the options make no sense or the bytes do not fit into 63 bits.
  static std::size_t region_bytes(const ChannelOptions& options, int size);

  /// Not collective by itself: the group puts a barrier between this constructor and the first use.
  /// `members`: the ranks that address the region, of `size` in all.
  MemoryChannel(std::unique_ptr<Region> region, Rank rank, int size, std::vector<Rank> members,
                const ChannelOptions& options);

  void commit(const Header& header) override;
  [[nodiscard]] std::optional<Message> try_next(Rank from) override;
  [[nodiscard]] std::optional<Message> latest(Rank from) override;
  [[nodiscard]] std::optional<std::span<std::byte>> try_acquire(std::span<const Rank> to,
                                                                Rank& blocking) override;
  [[nodiscard]] std::size_t memory_bytes() const override;

 private:
  struct Outgoing;  // a sender's words for one receiver
  struct Incoming;  // a receiver's words for one sender
  struct Addressee {
    Rank rank;
    std::uint64_t sequence;
  };

  void release(Rank from, int slot) noexcept override;

  [[nodiscard]] Outgoing& outgoing(Rank sender, Rank receiver) const;
  [[nodiscard]] Incoming& incoming(Rank receiver, Rank sender) const;
  [[nodiscard]] std::byte* slot(Rank sender, int index) const;
  [[nodiscard]] Message message(Rank from, int index, std::uint64_t sequence);
  [[nodiscard]] bool is_free(int index, Rank& blocking) const;

  std::unique_ptr<Region> region_;
  Rank rank_;
  int size_;
  std::vector<Rank> members_;
  int acquired_ = -1;                               // slot between acquire and commit
  int newest_ = -1;                                 // kLatest: slot of the last commit
  std::uint64_t published_ = 0;                     // kLatest: sequence of the last commit
  std::vector<std::uint64_t> posted_;               // kNext: per receiver
  std::vector<std::uint64_t> taken_;                // kNext: per sender, read or being read
  std::vector<bool> is_reading_;                    // per sender: a Message is alive
  std::vector<std::vector<Addressee>> addressees_;  // kNext: per slot, who has still to release it
};

}  // namespace gossip::transport
