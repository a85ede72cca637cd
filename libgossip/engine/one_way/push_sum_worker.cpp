// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/engine/neighbors.h>
#include <libgossip/engine/one_way/push_sum_worker.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {
namespace {

/// As in Mixer: small messages get a second slot, so that fast rounds do not wait for readers.
constexpr std::size_t kSecondSlotBytes = std::size_t{1} << 20U;

/// What a channel can have.
constexpr int kMostSlots = 14;

const topology::Schedule& checked(transport::Group& group, const topology::Schedule& schedule) {
  transport::check_together(group, [&] {
    check_size(schedule.name(), schedule.size(), group);
    const int messages = PushSumShares(schedule).most_messages(schedule);
    GOSSIP_CHECK(messages <= kMostSlots,
                 "The topology '{}' has a rank that sends {} different shares in a round, but push-"
                 "sum can send {}: give its receivers equal shares.",
                 schedule.name(), messages, kMostSlots);
  });
  return schedule;
}

/// The most in-neighbors that a rank has in a round.
int most_senders(const topology::Schedule& schedule) {
  return std::max(1, schedule.degree_bound());
}

}  // namespace

PushSumWorker::PushSumWorker(transport::Group& group, topology::Schedule schedule,
                             std::vector<VectorView> model, std::function<void()> local_update,
                             const PushSumWorkerOptions& options)
    : group_(group),
      schedule_(std::move(schedule)),
      local_update_(std::move(local_update)),
      options_(options),
      shares_(checked(group, schedule_)),
      vectors_(model, LocalStep::kOnNumerator),
      peers_(union_graph(schedule_).out_neighbors(group.rank())),
      membership_(group, peers_,
                  {.timeout = options.timeout, .on_lost_neighbor = options.on_lost_neighbor}),
      last_weights_(static_cast<std::size_t>(group.size()), 0.0) {
  transport::require_agreement(group, "vectors to mix", vectors_.layout().description());
  warn_if_apart(group.rank(), schedule_);
  if (group.size() == 1) return;
  const std::size_t bytes = vectors_.layout().bytes();
  const int messages = shares_.most_messages(schedule_);
  const int slots = bytes <= kSecondSlotBytes ? 2 * messages : messages;
  channel_ = group.make_channel(
      {.capacity_bytes = bytes,
       .slots = membership_.may_drop() ? kMostSlots : std::min(slots, kMostSlots),
       .timeout = options.timeout,
       .while_waiting = [this] { while_waiting(); },
       .receive_slots = most_senders(schedule_),
       .peers = peers_});
}

void PushSumWorker::finish(const policy::Decision& decision) {
  local_update_();
  if (decision.communicates) pull(position_.round++);
  membership_.set_steps(++position_.step);
}

/// Who has given this rank up sends nothing more.
void PushSumWorker::while_waiting() {
  if (awaited_ >= 0 && membership_.is_lost(awaited_)) {
    throw TimeoutError(awaited_, "This rank and the other one have given each other up.");
  }
  membership_.check_all_train(position_.step);
}

void PushSumWorker::pull(std::int64_t round) {
  ++counters_.gossip_rounds;
  if (!channel_) return;
  schedule_.neighborhood(round, group_.rank(), neighborhood_);
  write_off_lost();
  const auto is_lost = [this](const topology::Neighbor& neighbor) {
    return membership_.is_lost(neighbor.rank);
  };
  std::erase_if(neighborhood_.out, is_lost);
  const std::int64_t number = numbers_.next(round);
  vectors_.open();
  try {
    send(number);
    receive(number);
  } catch (...) {
    if (vectors_.weight() > 0.0) vectors_.close();  // with what is kept and what has come
    throw;
  }
  vectors_.close();
}

void PushSumWorker::send(std::int64_t number) {
  std::vector<topology::Neighbor>& out = neighborhood_.out;
  const std::size_t count = out.size();
  if (count == 0) {  // also who sends nothing says that it is in this round
    receivers_.clear();
    static_cast<void>(acquire());
    channel_->commit({.kind = transport::MessageKind::kSkip, .round = number});
  }
  while (!out.empty()) {
    const double share = shares_.share(out.front(), count);
    receivers_.clear();
    std::erase_if(out, [&](const topology::Neighbor& receiver) {
      const bool is_equal = shares_.share(receiver, count) == share;
      if (is_equal) receivers_.push_back(receiver.rank);
      return is_equal;
    });
    send_share(number, share);
  }
}

void PushSumWorker::send_share(std::int64_t number, double share) {
  const std::span<std::byte> slot = acquire();
  double weight = 0.0;
  if (!receivers_.empty()) {
    weight = vectors_.send(share, slot, static_cast<int>(receivers_.size()));
  }
  for (const Rank receiver : receivers_) last_weights_[static_cast<std::size_t>(receiver)] = weight;
  const std::size_t bytes = receivers_.empty() ? 0 : vectors_.layout().bytes();
  transport::Header header = membership_.may_drop() ? membership_.header() : transport::Header{};
  header.round = number;
  header.weight = weight;
  header.bytes = bytes;
  channel_->commit(header);
  counters_.bytes_sent += bytes * receivers_.size();
}

/// A slot for `receivers_`, less those that turn out to be lost.
std::span<std::byte> PushSumWorker::acquire() {
  const Clock::time_point start = Clock::now();
  Rank blocking = -1;
  for (;;) {
    try {
      const std::span<std::byte> slot = channel_->acquire(receivers_);
      counters_.wait_seconds += seconds_between(start, Clock::now());
      return slot;
    } catch (const TimeoutError& error) {
      if (!membership_.may_drop() || error.peer() == blocking) throw;  // also without it
      blocking = error.peer();
      lose(error.peer(), "read a message", start);
      std::erase(receivers_, error.peer());
    }
  }
}

void PushSumWorker::receive(std::int64_t number) {
  for (const topology::Neighbor& sender : neighborhood_.in) {
    if (membership_.is_lost(sender.rank)) {
      while (channel_->try_next(sender.rank)) {  // late: its sender counts it as lost, too
      }
      continue;
    }
    const Clock::time_point start = Clock::now();
    awaited_ = sender.rank;
    try {
      receive_from(sender.rank, number);
    } catch (const TimeoutError&) {
      awaited_ = -1;
      if (!membership_.may_drop()) throw;
      lose(sender.rank, "send a message", start);
    }
    awaited_ = -1;
  }
}

void PushSumWorker::lose(Rank peer, std::string_view what, Clock::time_point since) {
  membership_.lose(peer, what, seconds_between(since, Clock::now()));
  write_off_lost();
}

/// What the last message to a rank that is lost carried, once.
void PushSumWorker::write_off_lost() {
  if (!membership_.may_drop()) return;
  for (const Rank peer : peers_) {
    if (!membership_.is_lost(peer)) continue;
    counters_.mass_lost += std::exchange(last_weights_[static_cast<std::size_t>(peer)], 0.0);
  }
}

void PushSumWorker::receive_from(Rank sender, std::int64_t number) {
  const Clock::time_point start = Clock::now();
  const transport::Message message = channel_->next(sender);
  counters_.wait_seconds += seconds_between(start, Clock::now());
  const transport::Header& header = message.header();
  RoundNumbers::check(sender, header.round, group_.rank(), number);
  if (membership_.may_drop()) membership_.hear(sender, header);
  vectors_.absorb(message.payload(), header.weight);
  counters_.bytes_received += header.bytes;
  counters_.bytes_averaged += header.bytes;
}

Position PushSumWorker::position() const {
  Position result = position_;
  result.weight = vectors_.weight();
  return result;
}

void PushSumWorker::set_position(const Position& position) {
  vectors_.restore(position.weight);
  position_ = position;
  membership_.set_steps(position.step);
}

Counters PushSumWorker::counters() const {
  Counters sum = counters_;
  membership_.add_to(sum);
  return sum;
}

std::size_t PushSumWorker::memory_bytes() const {
  return vectors_.memory_bytes() + (channel_ ? channel_->memory_bytes() : 0);
}

}  // namespace gossip::engine
