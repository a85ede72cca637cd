// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/base/notice.h>
#include <libgossip/engine/one_way/overlap_worker.h>
#include <libgossip/topology/checks.h>
#include <libgossip/topology/union_graph.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {
namespace {

using transport::Activity;

/// Messages that a rank may have on their way, for models up to this size and above.
constexpr std::size_t kSmallBytes = std::size_t{1} << 20U;
constexpr int kSmallSlots = 4;
constexpr int kLargeSlots = 2;

/// With OnLostNeighbor::kDrop: of one receiver, so that a lost one does not take all; and the most.
constexpr std::int64_t kMostOnTheirWay = 2;

topology::Graph checked_graph(transport::Group& group, const topology::Schedule& schedule) {
  transport::check_together(group, [&] {
    topology::check_size(schedule.name(), schedule.size(), group.size());
    topology::validate_consistent(schedule);
  });
  topology::warn_if_apart(group.rank(), schedule);
  return topology::union_graph(schedule);
}

int slots_of(std::size_t bytes, std::size_t peers, bool may_drop) {
  const int slots = bytes <= kSmallBytes ? kSmallSlots : kLargeSlots;
  if (!may_drop) return slots;
  return static_cast<int>(std::min<std::size_t>(
      transport::kMostMemorySlots, static_cast<std::size_t>(slots) + kMostOnTheirWay * peers));
}

}  // namespace

OverlapWorker::OverlapWorker(transport::Group& group, topology::Schedule schedule, ModelPort& port,
                             const OverlapWorkerOptions& options)
    : group_(group),
      schedule_(std::move(schedule)),
      port_(port),
      options_(options),
      graph_(checked_graph(group, schedule_)),
      peers_(graph_.out_neighbors(group.rank())),
      membership_(group, peers_,
                  {.timeout = options.timeout,
                   .on_lost_neighbor = options.on_lost_neighbor,
                   .counts_messages = true}),
      vectors_(port.model()),
      edges_(static_cast<std::size_t>(group.size())) {
  transport::require_agreement(group, "vectors to mix", vectors_.layout().description());
  if (group.size() == 1) return;
  const std::size_t bytes = vectors_.layout().bytes();
  // The same on all ranks, whatever the number of their peers.
  std::size_t most_peers = 0;
  for (Rank rank = 0; rank < group.size(); ++rank) {
    most_peers = std::max(most_peers, graph_.out_neighbors(rank).size());
  }
  channel_ = group.make_channel({.capacity_bytes = bytes,
                                 .slots = slots_of(bytes, most_peers, membership_.may_drop()),
                                 .timeout = options.timeout,
                                 .receive_slots = slots_of(bytes, 0, false),
                                 .has_rounds = false,
                                 .peers = peers_});
  work_ = group.background().add([this] { return poll(); },
                                 [this](std::exception_ptr error) {
                                   const std::lock_guard lock(mutex_);
                                   error_ = std::move(error);
                                 });
}

OverlapWorker::~OverlapWorker() {
  if (!lifetime_.ends_alone() && mode_ == Mode::kTraining) {
    try {
      leave();
    } catch (const std::exception& error) {
      log(LogLevel::kWarning, group_.rank(), "push-sum was not ended in order: {}", error.what());
    }
  }
  work_.reset();
}

// --- the owner's side ----------------------------------------------------------------------------

/// The mutex is held.
void OverlapWorker::check() const {
  if (error_) std::rethrow_exception(error_);
}

void OverlapWorker::finish(const policy::Decision& decision) {
  port_.local_update();  // of the model only: what arrives meanwhile is kept apart from it
  const std::lock_guard lock(mutex_);
  check();
  ++position_.step;
  membership_.set_steps(position_.step);
  if (!channel_) return;
  if (to_make_up_ > 0.0) vectors_.make_up(std::exchange(to_make_up_, 0.0));
  vectors_.open();
  absorb_arrived();
  if (decision.communicates) send();
  vectors_.close();
}

void OverlapWorker::leave() {
  if (mode_ == Mode::kAway) return;
  membership_.leave();
  {
    const std::lock_guard lock(mutex_);
    mode_ = Mode::kServing;
  }
  group_.barrier();  // all ranks left
  settle();
  group_.barrier();  // nobody takes in what is sent after a come_back()
}

/// Takes in all that was sent to this rank. Nobody trains any more.
void OverlapWorker::settle() {
  {
    const std::lock_guard lock(mutex_);
    mode_ = Mode::kSettling;  // from here on this rank sends nothing
  }
  const std::vector<std::int64_t> expected = messages_to_come();
  const auto has_all = [&](Rank rank) {
    return membership_.is_lost(rank) ||
           edge(rank).received >= expected[static_cast<std::size_t>(rank)];
  };
  const auto is_complete = [&] {
    const std::lock_guard lock(mutex_);
    check();
    return std::ranges::all_of(peers_, has_all);
  };
  const Deadline deadline(options_.timeout);
  Notice notice(group_.rank(), deadline);
  static_cast<void>(wait_until(deadline, is_complete, [&] {
    notice.look([&] {
      const std::lock_guard lock(mutex_);
      const auto late = std::ranges::find_if_not(peers_, has_all);
      if (late == peers_.end()) return std::string("the last message");
      return fmt::format("rank {} to deliver a message", *late);
    });
  }));
  const std::lock_guard lock(mutex_);
  for (const Rank peer : peers_) {
    if (!has_all(peer)) membership_.lose(peer, "deliver a message", deadline.elapsed_seconds());
  }
  if (vectors_.has_news()) {  // else the model keeps its bits
    vectors_.open();
    vectors_.close();
  }
  mode_ = Mode::kAway;
}

/// By sender: how many messages it has ever sent to this rank. Collective.
std::vector<std::int64_t> OverlapWorker::messages_to_come() {
  struct Sent {
    std::int64_t receiver;
    std::int64_t messages;
  };
  std::vector<Sent> own;
  for (const Rank peer : peers_) own.push_back({peer, edge(peer).sent});
  std::vector<std::int64_t> result;
  for (const std::vector<Sent>& sent : group_.all_gather(own)) {
    const auto to_this = std::ranges::find(sent, group_.rank(), &Sent::receiver);
    result.push_back(to_this == sent.end() ? 0 : to_this->messages);
  }
  return result;
}

void OverlapWorker::come_back() {
  membership_.come_back();
  const std::lock_guard lock(mutex_);
  mode_ = Mode::kTraining;
}

void OverlapWorker::come_back_alone() {
  membership_.come_back_alone();
  come_back();
}

Position OverlapWorker::position() const {
  const std::lock_guard lock(mutex_);
  Position result = position_;
  result.weight = vectors_.weight();
  return result;
}

void OverlapWorker::set_position(const Position& position) {
  const std::lock_guard lock(mutex_);
  vectors_.restore(position.weight);
  for (const Rank peer : peers_) {
    if (membership_.is_lost(peer) && !edge(peer).is_written_off) write_off(edge(peer));
  }
  to_make_up_ = 0.0;  // the state that is loaded lacks nothing
  position_ = position;
  for (Edge& edge : edges_) edge.news_at = position.step;
  membership_.restart(position.step);
}

std::vector<StateVector> OverlapWorker::state() {
  std::vector<StateVector> result;
  for (const VectorView& excess : vectors_.excess()) {
    result.push_back({fmt::format("push-sum_{}", result.size()), excess});
  }
  return result;
}

Counters OverlapWorker::counters() const {
  const std::lock_guard lock(mutex_);
  Counters sum = counters_;
  membership_.add_to(sum);
  return sum;
}

std::size_t OverlapWorker::memory_bytes() const {
  return vectors_.memory_bytes() + (channel_ ? channel_->memory_bytes() : 0);
}

// --- both threads, with the mutex held -----------------------------------------------------------

bool OverlapWorker::absorb_arrived() {
  bool has_moved = false;
  for (const Rank peer : peers_) has_moved |= absorb_from(peer);
  return has_moved;
}

bool OverlapWorker::absorb_from(Rank sender) {
  bool has_moved = false;
  while (const auto message = channel_->try_next(sender)) {
    if (membership_.is_lost(sender)) continue;  // late: its sender makes up for it
    const transport::Header& header = message->header();
    Edge& from = edge(sender);
    vectors_.absorb(message->payload(), header.weight);
    counters_.ages.add(position_.step - from.news_at);
    counters_.bytes_received += header.bytes;
    counters_.bytes_averaged += header.bytes;
    from.news_at = position_.step;
    membership_.set_taken(sender, ++from.received);
    has_moved = true;
  }
  return has_moved;
}

/// Of this rank's next round, one after the other where there are several that live; -1: none.
Rank OverlapWorker::choose_receiver() {
  const std::int64_t round = position_.round++;
  const auto is_live = [this](Rank rank) { return !membership_.is_lost(rank); };
  schedule_.neighborhood(round, group_.rank(), is_live, neighborhood_);
  const std::vector<topology::Neighbor>& out = neighborhood_.out;
  if (out.empty()) return -1;
  const std::int64_t turn = round / std::max(schedule_.period(), 1);
  return out[static_cast<std::size_t>(turn) % out.size()].rank;
}

void OverlapWorker::send() {
  const Rank receiver = choose_receiver();
  if (receiver < 0) return;
  const Edge& to = edge(receiver);
  const bool has_room = !membership_.may_drop() || to.sent - to.taken_by_receiver < kMostOnTheirWay;
  if (vectors_.may_send() && has_room) {
    send_to(receiver);
  } else {
    ++counters_.skipped;
  }
}

void OverlapWorker::send_to(Rank receiver) {
  constexpr double kShare = 0.5;
  Rank blocking = -1;
  const auto slot = channel_->try_acquire(std::span(&receiver, 1), blocking);
  if (!slot) {
    ++counters_.skipped;
    return;
  }
  const std::size_t bytes = vectors_.layout().bytes();
  const double weight = vectors_.send(kShare, *slot, 1);
  transport::Header header = membership_.header();
  header.round = position_.step;
  header.weight = weight;
  header.bytes = bytes;
  channel_->commit(header);
  Edge& to = edge(receiver);
  to.weights[static_cast<std::size_t>(to.sent++) % kRemembered] = weight;
  ++counters_.gossip_rounds;
  counters_.bytes_sent += bytes;
}

// --- the communication thread's side -------------------------------------------------------------

Activity OverlapWorker::poll() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return Activity::kUnderWay;  // the owner is in the middle of a step
  if (mode_ == Mode::kAway) return Activity::kIdle;
  const bool has_moved = absorb_arrived();
  if (has_moved && mode_ == Mode::kServing) {  // the owner waits in leave(): the model may move
    vectors_.open();
    send();
    vectors_.close();
  }
  watch();
  return has_moved ? Activity::kMoved : Activity::kIdle;
}

/// Who takes nothing of what is on its way to it.
void OverlapWorker::watch() {
  for (const Rank peer : peers_) {
    Edge& to = edge(peer);
    const std::int64_t taken = membership_.taken_by(peer);
    if (taken != to.taken_by_receiver || taken >= to.sent) {
      to.taken_by_receiver = taken;
      membership_.note_progress(peer);
    } else if (!membership_.is_lost(peer) && membership_.is_overdue(peer)) {
      membership_.lose(peer, "take a message");
    }
    if (membership_.is_lost(peer) && !to.is_written_off) write_off(to);
  }
}

/// What was on its way to a rank that is lost.
void OverlapWorker::write_off(Edge& to) {
  to.is_written_off = true;
  double lost = 0.0;
  const std::int64_t first =
      std::max(to.taken_by_receiver, to.sent - static_cast<std::int64_t>(kRemembered));
  for (std::int64_t message = first; message < to.sent; ++message) {
    lost += to.weights[static_cast<std::size_t>(message) % kRemembered];
  }
  counters_.mass_lost += lost;
  to_make_up_ += lost;
}

}  // namespace gossip::engine
