// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What all channels between hosts share: the communication thread's work.

#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <libgossip/base/alone.h>
#include <libgossip/mpi/mailbox.h>
#include <libgossip/transport/background.h>
#include <libgossip/transport/channel.h>
#include <libgossip/transport/network_members.h>
#include <libgossip/transport/payload_mover.h>

namespace gossip::transport {

class NetworkChannel;

/// Joins the ranks that share no memory, of a group and of those that were split from it. A sender
/// *offers* a message by a small record, a receiver that has a slot to spare *grants* it, and the
/// payload goes there: nobody sends what the receiver has no room for, and memory does not grow
/// with the number of ranks.
///
/// All calls of MPI that this takes are made by the communication thread.
///
/// Collective: construction and destruction over all ranks, make_channel() over its members.
/// Threads: any.
class Network {
 public:
  /// `for_parts` moves payloads among members that are not all of the ranks, where `mover` cannot.
  Network(mpi::Communicator communicator, std::unique_ptr<PayloadMover> mover,
          Background& background, std::unique_ptr<PayloadMover> for_parts = nullptr);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  ~Network();

  /// Among `members`. `peers`: those of them that this rank exchanges messages with.
  [[nodiscard]] std::unique_ptr<NetworkChannel> make_channel(
      std::shared_ptr<const NetworkMembers> members, const ChannelOptions& options,
      const std::vector<Rank>& peers);

  /// Among all ranks.
  [[nodiscard]] std::unique_ptr<NetworkChannel> make_channel(const ChannelOptions& options,
                                                             const std::vector<Rank>& peers);

  [[nodiscard]] int size() const noexcept { return mailbox_.communicator().size(); }

  [[nodiscard]] const PayloadMover& mover() const noexcept { return *mover_; }

  /// What moves payloads among so many of the ranks.
  [[nodiscard]] PayloadMover& mover_among(int num_members) const noexcept {
    return for_parts_ && num_members < size() ? *for_parts_ : *mover_;
  }

 private:
  friend class NetworkChannel;

  /// The mover's numbers name the channel and, in these low bits, what it calls the filling.
  static constexpr unsigned kChannelShift = 40;

  enum class RecordKind : std::uint32_t { kOffer, kGrant, kCredit };
  struct Record {
    RecordKind kind = RecordKind::kOffer;
    std::uint32_t channel = 0;
    Header header = {};      // of the message in question
    std::int32_t slot = -1;  // kGrant, kCredit: the receiver's, and the stamp of its filling;
                             // kOffer: the one of the credit that is used
    std::uint64_t stamp = 0;
  };

  Activity look();
  void report();
  void dispatch(Rank from, const Record& record);
  void send(Rank to, const Record& record);

  /// Throws what the communication thread could not go on with.
  void check() const;

  [[nodiscard]] std::uint32_t next_number(const mpi::Communicator& members) const;
  [[nodiscard]] int take_lane(const mpi::Communicator& members);

  /// `has_settled`: nothing of it is under way, so that another channel may have its tags.
  void remove(std::uint32_t channel, int lane, bool has_settled);

  gossip::detail::Lifetime lifetime_;
  std::shared_ptr<const NetworkMembers> everyone_;
  mpi::Mailbox mailbox_;
  std::unique_ptr<PayloadMover> mover_;
  std::unique_ptr<PayloadMover> for_parts_;  // may be none
  Background& background_;
  mutable std::timed_mutex mutex_;         // of everything here and in the channels
  std::vector<NetworkChannel*> channels_;  // by number; null once it is gone, and of other ranks'
  std::string lanes_;                      // of tags: '1' where a channel has them, else '0'
  std::vector<std::uint64_t> arrived_;
  std::vector<std::uint64_t> sent_;
  std::exception_ptr error_;
  bool has_settled_ = true;                 // all channels that ended did so in order
  std::unique_ptr<Background::Work> work_;  // ends first
};

}  // namespace gossip::transport
