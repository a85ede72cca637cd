// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include <libgossip/base/collective_call.h>
#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/mpi/operations.h>
#include <libgossip/mpi/serial.h>
#include <libgossip/transport/network.h>
#include <libgossip/transport/network_channel.h>

namespace gossip::transport {
namespace {

/// How long the end waits for small records that are still on their way.
constexpr std::chrono::seconds kLastRecords{10};

}  // namespace

Network::Network(mpi::Communicator communicator, std::unique_ptr<PayloadMover> mover,
                 Background& background, std::unique_ptr<PayloadMover> for_parts)
    : everyone_(std::make_shared<NetworkMembers>(mpi::Communicator::duplicate(communicator.get()),
                                                 communicator.rank(), communicator.size())),
      mailbox_(std::move(communicator)),
      mover_(std::move(mover)),
      for_parts_(std::move(for_parts)),
      background_(background) {
  static_assert(sizeof(Record) <= mpi::Mailbox::kBytes);
  work_ = background_.add([this] { return look(); },
                          [this](std::exception_ptr error) {
                            const std::lock_guard lock(mutex_);
                            error_ = std::move(error);
                          });
}

Network::~Network() {
  work_.reset();
  if (!has_settled_) mover_->leave();
  if (!has_settled_ && for_parts_) for_parts_->leave();
  if (lifetime_.ends_alone() || error_) return;
  try {
    // A process may have work of its own for hours before it ends.
    const CollectiveCall call("the end of all groups", std::chrono::milliseconds::max());
    mailbox_.finish(kLastRecords);
  } catch (const std::exception& error) {
    log(LogLevel::kWarning, mailbox_.communicator().rank(),
        "records between hosts were left under way: {}", error.what());
  }
}

std::unique_ptr<NetworkChannel> Network::make_channel(const ChannelOptions& options,
                                                      const std::vector<Rank>& peers) {
  return make_channel(everyone_, options, peers);
}

std::unique_ptr<NetworkChannel> Network::make_channel(std::shared_ptr<const NetworkMembers> members,
                                                      const ChannelOptions& options,
                                                      const std::vector<Rank>& peers) {
  const mpi::Communicator& communicator = members->communicator();
  communicator.barrier();  // nobody waits in MPI for a rank that still trains
  const std::uint32_t number = next_number(communicator);
  const int lane = take_lane(communicator);
  auto channel = std::make_unique<NetworkChannel>(*this, number, lane, members, peers, options);
  {
    const auto lock = mpi::Serial::lock(mutex_);
    channels_.resize(number, nullptr);
    channels_.push_back(channel.get());
  }
  communicator.barrier();  // records of a channel find it on the other side
  {
    const auto lock = mpi::Serial::lock(mutex_);
    channel->is_open_ = true;
  }
  background_.wake();
  return channel;
}

/// The first number that none of the members has used.
std::uint32_t Network::next_number(const mpi::Communicator& members) const {
  return std::ranges::max(members.all_gather(static_cast<std::uint32_t>(channels_.size())));
}

/// The first one that no channel of any member has.
int Network::take_lane(const mpi::Communicator& members) {
  const std::vector<std::string> taken = members.all_gather(lanes_);
  const auto is_taken = [&](std::size_t lane) {
    return std::ranges::any_of(
        taken, [&](const std::string& lanes) { return lane < lanes.size() && lanes[lane] == '1'; });
  };
  std::size_t lane = 0;
  while (is_taken(lane)) ++lane;
  NetworkChannel::check_lane(static_cast<int>(lane), mpi::largest_tag());
  lanes_.resize(std::max(lanes_.size(), lane + 1), '0');
  lanes_[lane] = '1';
  return static_cast<int>(lane);
}

void Network::remove(std::uint32_t channel, int lane, bool has_settled) {
  const auto lock = mpi::Serial::lock(mutex_);
  has_settled_ &= has_settled;
  channels_[channel] = nullptr;
  lanes_[static_cast<std::size_t>(lane)] = has_settled ? '0' : '1';
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
  check_header(record.header, from);
  NetworkChannel* channel = channels_[record.channel];
  if (channel == nullptr) return;  // closed, and the message dropped with it
  from = channel->members_->in_group(from);
  if (record.kind == RecordKind::kOffer) {
    channel->on_offer(from, record);
  } else if (record.kind == RecordKind::kCredit) {
    channel->on_credit(from, record);
  } else {
    channel->on_grant(from, record);
  }
}

/// Tells the channels what their payloads did. One that ended early has left its memory behind.
void Network::report() {
  const auto channel_of = [&](std::uint64_t number) { return channels_[number >> kChannelShift]; };
  constexpr std::uint64_t kItem = (std::uint64_t{1} << kChannelShift) - 1;
  for (const std::uint64_t number : arrived_) {
    if (NetworkChannel* channel = channel_of(number)) {
      channel->on_arrived(static_cast<int>(number & kItem));
    }
  }
  for (const std::uint64_t number : sent_) {
    if (NetworkChannel* channel = channel_of(number)) channel->on_sent(number & kItem);
  }
}

Activity Network::look() {
  mpi::Serial::make_brief_calls();
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
  if (for_parts_) for_parts_->poll(arrived_, sent_);
  report();
  has_moved |= !arrived_.empty() || !sent_.empty();
  for (NetworkChannel* channel : channels_) {
    if (channel != nullptr) has_moved |= channel->advance();
  }
  const bool is_sending = mailbox_.progress();
  if (has_moved) return Activity::kMoved;
  const bool is_moving = mover_->is_busy() || (for_parts_ && for_parts_->is_busy());
  return is_sending || is_moving ? Activity::kUnderWay : Activity::kIdle;
}

}  // namespace gossip::transport
