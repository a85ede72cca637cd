// SPDX-License-Identifier: Apache-2.0
// See stress.h. Between hosts the payload is copied by a mover; this one lets it go when half of
// it lies in the sender's slot.
#include <cstring>
#include <list>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <mpi.h>

#include <libgossip/mpi/communicator.h>
#include <libgossip/transport/message/message_mover.h>
#include <libgossip/transport/network_channel.h>
#include <libgossip/transport/rma/put_mover.h>
#include <libgossip/transport/transport_options.h>

#include "transport/stress.h"

namespace gossip::test {
namespace {

using namespace transport;

/// Sends each payload from a copy of which only half is written in time.
class EarlyMover final : public PayloadMover {
 public:
  explicit EarlyMover(std::unique_ptr<PayloadMover> inner) : inner_(std::move(inner)) {}

  [[nodiscard]] std::string_view name() const override { return inner_->name(); }
  [[nodiscard]] std::unique_ptr<SlotMemory> make_slots(int count, std::size_t capacity,
                                                       const NetworkMembers& members) override {
    return inner_->make_slots(count, capacity, members);
  }
  void expect(Rank from, const Filling& filling) override { inner_->expect(from, filling); }
  void put(Rank to, std::span<const std::byte> payload, const Filling& filling) override {
    Draft& draft = drafts_.emplace_back(filling.number, std::vector<std::byte>(payload.size()));
    std::memcpy(draft.copy.data(), payload.data(), payload.size() / 2);
    inner_->put(to, draft.copy, filling);
  }
  void poll(std::vector<std::uint64_t>& arrived, std::vector<std::uint64_t>& sent) override {
    inner_->poll(arrived, sent);
    for (const std::uint64_t number : sent) {
      drafts_.remove_if([&](const Draft& draft) { return draft.number == number; });
    }
  }
  [[nodiscard]] bool is_busy() const override { return inner_->is_busy(); }
  void leave() noexcept override { inner_->leave(); }

 private:
  struct Draft {
    Draft(std::uint64_t item, std::vector<std::byte> bytes)
        : number(item), copy(std::move(bytes)) {}
    std::uint64_t number;
    std::vector<std::byte> copy;
  };
  std::unique_ptr<PayloadMover> inner_;
  std::list<Draft> drafts_;
};

std::unique_ptr<PayloadMover> make_mover(mpi::Communicator communicator) {
  const TransportOptions options = transport_options_from_environment();
  if (options.kind == TransportKind::kRma) {
    return std::make_unique<rma::PutMover>(std::move(communicator), options.piece_bytes);
  }
  return std::make_unique<message::MessageMover>(std::move(communicator), options.piece_bytes);
}

/// A network of its own, with such a mover.
class EarlyChannel final : public Channel {
 public:
  EarlyChannel(const Group& group, const ChannelOptions& options)
      : Channel(options, group.rank()),
        network_(duplicate(), std::make_unique<EarlyMover>(make_mover(duplicate())), background_) {
    std::vector<Rank> others;
    for (Rank rank = 0; rank < group.size(); ++rank) {
      if (rank != group.rank()) others.push_back(rank);
    }
    channel_ = network_.make_channel(options, others);
  }

  void commit(const Header& header) override { channel_->commit(header); }
  [[nodiscard]] std::optional<Message> try_next(Rank from) override {
    return channel_->try_next(from);
  }
  [[nodiscard]] std::optional<Message> latest(Rank from) override { return channel_->latest(from); }
  [[nodiscard]] std::optional<std::span<std::byte>> try_acquire(std::span<const Rank> to,
                                                                Rank& blocking) override {
    return channel_->try_acquire(to, blocking);
  }
  [[nodiscard]] std::size_t memory_bytes() const override { return channel_->memory_bytes(); }

 private:
  static mpi::Communicator duplicate() { return mpi::Communicator::duplicate(MPI_COMM_WORLD); }
  void release(Rank /*from*/, int /*slot*/) noexcept override {}

  Background background_;
  Network network_;
  std::unique_ptr<NetworkChannel> channel_;
};

}  // namespace

std::unique_ptr<Channel> make_early_channel(Group& group, const ChannelOptions& options) {
  return std::make_unique<EarlyChannel>(group, options);
}

std::int64_t stress_divisor() { return 100; }

}  // namespace gossip::test
