// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include <libgossip/base/error.h>
#include <libgossip/transport/network.h>
#include <libgossip/transport/network_channel.h>

namespace gossip::transport {
namespace {

/// The mover's numbers name the channel and what it calls the filling.
constexpr unsigned kChannelShift = 40;
constexpr std::uint64_t kItemMask = (std::uint64_t{1} << kChannelShift) - 1;

}  // namespace

Network::Network(mpi::Communicator communicator, std::unique_ptr<PayloadMover> mover,
                 Background& background)
    : mailbox_(std::move(communicator)), mover_(std::move(mover)), background_(background) {
  static_assert(sizeof(Record) <= mpi::Mailbox::kBytes);
  work_ = background_.add([this] { return look(); },
                          [this](std::exception_ptr error) {
                            const std::lock_guard lock(mutex_);
                            error_ = std::move(error);
                          });
}

Network::~Network() { work_.reset(); }

std::unique_ptr<NetworkChannel> Network::make_channel(const ChannelOptions& options,
                                                      const std::vector<Rank>& peers) {
  const mpi::Communicator& communicator = mailbox_.communicator();
  const auto number = static_cast<std::uint32_t>(channels_.size());
  auto channel = std::make_unique<NetworkChannel>(*this, number, communicator.rank(),
                                                  communicator.size(), peers, options);
  {
    const std::lock_guard lock(mutex_);
    channels_.push_back(channel.get());
  }
  communicator.barrier();  // records of a channel find it on the other side
  return channel;
}

void Network::remove(std::uint32_t channel) {
  const std::lock_guard lock(mutex_);
  channels_[channel] = nullptr;
}

void Network::check() const {
  if (error_) std::rethrow_exception(error_);
}

void Network::send(Rank to, const Record& record) {
  mpi::Mailbox::Record bytes{};
  std::memcpy(bytes.data(), &record, sizeof(record));
  mailbox_.send(bytes, to);
}

void Network::dispatch(Rank from, const Record& record) {
  NetworkChannel* channel = channels_[record.channel];
  if (channel == nullptr) return;  // closed, and the message dropped with it
  if (record.kind == RecordKind::kOffer) {
    channel->on_offer(from, record.header);
  } else {
    channel->on_grant(from, record);
  }
}

Activity Network::look() {
  const std::lock_guard lock(mutex_);
  bool has_moved = false;
  while (const auto mail = mailbox_.receive()) {
    Record record;
    std::memcpy(&record, mail->second.data(), sizeof(record));
    dispatch(mail->first, record);
    has_moved = true;
  }
  arrived_.clear();
  sent_.clear();
  mover_->poll(arrived_, sent_);
  for (const std::uint64_t number : arrived_) {
    channels_[number >> kChannelShift]->on_arrived(static_cast<int>(number & kItemMask));
  }
  for (const std::uint64_t number : sent_) {
    channels_[number >> kChannelShift]->on_sent(number & kItemMask);
  }
  has_moved |= !arrived_.empty() || !sent_.empty();
  for (NetworkChannel* channel : channels_) {
    if (channel != nullptr) has_moved |= channel->advance();
  }
  const bool is_sending = mailbox_.progress();
  if (has_moved) return Activity::kMoved;
  return is_sending || mover_->is_busy() ? Activity::kUnderWay : Activity::kIdle;
}

}  // namespace gossip::transport
