// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The channel between ranks that share no memory.

#include <cstdint>
#include <memory>
#include <vector>

#include <libgossip/base/alone.h>
#include <libgossip/transport/network.h>

namespace gossip::transport {

/// Made by Network. A message is copied once, by the network, from the sender's slot into a slot of
/// each receiver.
///
/// kNext: a message keeps its slot until the payload has moved to all its receivers; without a
/// payload it needs none. kLatest: a receiver that has room gets what is the newest then; only that
/// one, and what is on its way, keep their slots. No rank is its own peer there.
///
/// Small messages without rounds do not ask: each receive slot is lent to one peer in turn, so a
/// piece goes off as soon as it is committed.
///
/// Memory: `slots` at the sender, made when first used; `receive_slots` at the receiver, with
/// kLatest two for each of `peers`.
class NetworkChannel final : public Channel {
 public:
  NetworkChannel(Network& network, std::uint32_t number, int lane,
                 std::shared_ptr<const NetworkMembers> members, std::vector<Rank> peers,
                 const ChannelOptions& options);
  ~NetworkChannel() override;

  /// Throws gossip::Error for options that make no sense with so many peers.
  static void check(const ChannelOptions& options, std::size_t num_peers);

  /// Throws gossip::Error when messages in `lane` need tags above the largest one that MPI takes.
  static void check_lane(int lane, int largest_tag);

  void commit(const Header& header) override;

  /// Gives an acquired slot back instead of committing it.
  void cancel();

  /// This rank takes part in `round`, with a message that goes another way.
  void enter(std::int64_t round);

  [[nodiscard]] std::optional<Message> try_next(Rank from) override;
  [[nodiscard]] std::optional<Message> latest(Rank from) override;
  [[nodiscard]] std::optional<std::span<std::byte>> try_acquire(std::span<const Rank> to,
                                                                Rank& blocking) override;
  [[nodiscard]] std::size_t memory_bytes() const override;

 private:
  friend class Network;

  /// A message on its way to this rank, or here.
  struct Arrival {
    Header header;
    int slot = -1;  // none yet, or none needed
    bool is_complete = false;
  };
  /// A message on its way from this rank to one other.
  struct Departure {
    Rank to;
    int slot;  // kLatest: none before it is granted
    Header header;
    bool is_offered = false;
    std::uint64_t transfer = 0;  // while the payload moves
  };
  /// A slot of a peer that this rank may fill without asking.
  struct Credit {
    int slot;
    std::uint64_t stamp;
  };
  struct Peer {
    std::uint64_t posted = 0;       // messages to it; kLatest: the newest one offered or sent
    std::uint64_t offered = 0;      // of them
    std::uint64_t received = 0;     // offers from it
    std::uint64_t announced = 0;    // while closing: what it says that it has offered
    std::vector<Credit> credits;    // of its slots
    bool is_blocked = false;        // an earlier message to it has not left yet
    std::vector<Arrival> arrivals;  // kNext: in order; kLatest: the newest and its successor
    int reading = -1;               // slot of the living Message
    bool is_reading = false;
    bool is_wanted = false;  // somebody waits for its next message
  };
  struct SendSlot {
    std::unique_ptr<SlotMemory> memory;  // none before the first use
    int departures = 0;
  };

  void release(Rank from, int slot) noexcept override;

  // The communication thread's part, under the network's mutex.
  void on_offer(Rank from, const Network::Record& offer);
  void on_credit(Rank from, const Network::Record& credit);
  void on_grant(Rank from, const Network::Record& grant);
  void on_arrived(int slot);
  void on_sent(std::uint64_t transfer);
  bool advance();  // offers and grants; whether something moved
  bool offer();
  bool offer(Departure& departure);
  bool grant();
  bool lend();
  void put(Departure& departure, int slot, std::uint64_t stamp);
  void drop_older(Rank from);
  [[nodiscard]] bool may_grant(const Peer& peer, std::size_t arrival) const;
  [[nodiscard]] int free_receive_slot(Rank from) const;
  void free_receive_slot_of(int slot) noexcept;
  [[nodiscard]] Filling filling(int slot, std::size_t bytes, std::uint64_t stamp,
                                std::uint64_t number) const;
  [[nodiscard]] std::vector<Rank> in_flight_with() const;
  [[nodiscard]] bool is_latest() const { return options().reading == Reading::kLatest; }
  void announce();
  void offer_newest();
  void grant(Rank from, Arrival& arrival, int slot);
  void complete(Rank from, Arrival& arrival);

  void send(Rank to, const Network::Record& record);
  [[nodiscard]] Peer& peer(Rank rank) { return peers_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] std::size_t slot_bytes() const;
  [[nodiscard]] std::size_t prefix_bytes() const;
  [[nodiscard]] std::size_t filling_bytes(const Header& header) const;
  [[nodiscard]] Message message(Peer& peer, Rank from, const Arrival& arrival);
  void write_newest_header();
  [[nodiscard]] bool settle();  // before the end
  void leave_memory() noexcept;

  Network& network_;
  PayloadMover& mover_;
  gossip::detail::Lifetime lifetime_;
  std::uint32_t number_;
  int lane_;  // of the tags: no other channel of now has it
  std::shared_ptr<const NetworkMembers> members_;
  std::vector<Rank> correspondents_;  // ascending
  std::vector<Peer> peers_;           // by rank
  std::vector<SendSlot> send_slots_;
  std::unique_ptr<SlotMemory> receive_memory_;
  std::vector<Rank> filled_by_;        // per receive slot: the sender, or -1
  std::vector<std::uint64_t> stamps_;  // per receive slot: of its last filling
  std::vector<Departure> departures_;
  std::vector<Rank> addressees_;  // of the acquired slot
  int acquired_ = -1;
  int newest_ = -1;  // kLatest: the slot of the last commit
  Header newest_header_;
  std::uint64_t transfers_ = 0;
  int waiting_ = 0;  // arrivals without a slot that need one
  std::int64_t committed_round_ = -1;
  Rank granted_last_ = 0;
  bool has_credits_ = false;
  bool is_open_ = false;  // on all ranks: records may be sent
  bool is_closing_ = false;
};

}  // namespace gossip::transport
