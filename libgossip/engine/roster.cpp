// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <numeric>
#include <tuple>
#include <utility>

#include <libgossip/engine/roster.h>

namespace gossip::engine {
namespace {

using transport::Activity;

constexpr std::chrono::milliseconds kInterval{20};

}  // namespace

Roster::Roster(transport::Group& group, std::vector<Rank> peers)
    : rank_(group.rank()),
      peers_(std::move(peers)),
      numbers_(kColumns * static_cast<std::size_t>(group.size()), 0),
      taken_by_(static_cast<std::size_t>(group.size()), 0) {
  if (group.size() == 1) return;
  channel_ = group.make_channel({.capacity_bytes = numbers_.size() * sizeof(std::int64_t),
                                 .slots = 4,
                                 .reading = transport::Reading::kLatest,
                                 .peers = peers_});
  // A roster that cannot go on only stops spreading news: the methods' own channels say why.
  work_ = group.background().add([this] { return look(); }, [](const std::exception_ptr&) {});
}

Roster::~Roster() { work_.reset(); }

std::size_t Roster::index_of(Column column, Rank rank) const {
  return column * taken_by_.size() + static_cast<std::size_t>(rank);
}

/// Turns that all ranks take alike: odd while the rank is away.
std::int64_t Roster::joint_turns(Rank rank) const {
  return numbers_[index_of(kTurns, rank)] - numbers_[index_of(kInVain, rank)];
}

void Roster::set_steps(std::int64_t steps) { set(index_of(kSteps, rank_), steps); }

void Roster::set_away(bool is_away) {
  const std::lock_guard lock(mutex_);
  std::int64_t& turns = numbers_[index_of(kTurns, rank_)];
  if ((turns % 2 == 1) == is_away) return;
  ++turns;
  has_changed_ = true;
  look_for_who_left();
}

void Roster::come_back_alone() {
  const std::lock_guard lock(mutex_);
  std::int64_t& turns = numbers_[index_of(kTurns, rank_)];
  if (turns % 2 == 0) return;
  ++turns;
  numbers_[index_of(kInVain, rank_)] += 2;
  has_changed_ = true;
  look_for_who_left();
}

/// The others are back, too, before they tell new numbers.
void Roster::restart(std::int64_t steps) {
  const std::lock_guard lock(mutex_);
  const std::int64_t own_turns = joint_turns(rank_);
  for (Rank rank = 0; std::cmp_less(rank, taken_by_.size()); ++rank) {
    if (rank == rank_) continue;
    std::int64_t& turns = numbers_[index_of(kTurns, rank)];
    turns = std::max(turns, own_turns + own_turns % 2 + numbers_[index_of(kInVain, rank)]);
    numbers_[index_of(kSteps, rank)] = 0;
  }
  numbers_[index_of(kSteps, rank_)] = steps;
  has_changed_ = true;
}

/// Ranks leave together: one with fewer turns than this rank comes back with it.
void Roster::look_for_who_left() {
  const std::int64_t own = joint_turns(rank_);
  bool has_anyone = false;
  for (Rank rank = 0; std::cmp_less(rank, taken_by_.size()); ++rank) {
    const std::int64_t turns = joint_turns(rank);
    has_anyone |= turns > own && turns % 2 == 1;
  }
  has_anyone_left_ = has_anyone;
}

void Roster::set_taken(Rank peer, std::int64_t count) { set(index_of(kTaken, peer), count); }

void Roster::set(std::size_t index, std::int64_t number) {
  const std::lock_guard lock(mutex_);
  numbers_[index] = number;
  has_changed_ = true;
}

std::int64_t Roster::steps_of(Rank rank) const {
  const std::lock_guard lock(mutex_);
  return numbers_[index_of(kSteps, rank)];
}

std::int64_t Roster::taken_by(Rank peer) const {
  const std::lock_guard lock(mutex_);
  return taken_by_[static_cast<std::size_t>(peer)];
}

std::int64_t Roster::job_steps() const {
  const std::lock_guard lock(mutex_);
  const auto end = numbers_.begin() + static_cast<std::ptrdiff_t>(taken_by_.size());
  return std::reduce(numbers_.begin(), end, std::int64_t{0});
}

Activity Roster::look() {
  if (Clock::now() < next_look_) return Activity::kIdle;
  next_look_ = Clock::now() + kInterval;
  const std::lock_guard lock(mutex_);
  for (const Rank peer : peers_) {
    if (const auto message = channel_->latest(peer)) read(peer, message->payload());
  }
  return has_changed_ && publish() ? Activity::kMoved : Activity::kIdle;
}

void Roster::read(Rank peer, std::span<const std::byte> payload) {
  const auto number = [&](std::size_t index) {
    std::int64_t value = 0;
    std::memcpy(&value, payload.data() + index * sizeof(value), sizeof(value));
    return value;
  };
  taken_by_[static_cast<std::size_t>(peer)] = number(index_of(kTaken, rank_));
  for (Rank rank = 0; std::cmp_less(rank, taken_by_.size()); ++rank) {
    const std::size_t steps = index_of(kSteps, rank);
    const std::size_t turns = index_of(kTurns, rank);
    const std::pair known(numbers_[turns], numbers_[steps]);
    const std::pair told(number(turns), number(steps));
    if (told <= known || rank == rank_) continue;
    std::tie(numbers_[turns], numbers_[steps]) = told;
    numbers_[index_of(kInVain, rank)] = number(index_of(kInVain, rank));
    has_changed_ = true;
  }
  look_for_who_left();
}

bool Roster::publish() {
  Rank blocking = -1;
  const auto slot = channel_->try_acquire(peers_, blocking);
  if (!slot) return false;
  const std::size_t bytes = numbers_.size() * sizeof(std::int64_t);
  std::memcpy(slot->data(), numbers_.data(), bytes);
  channel_->commit({.bytes = bytes});
  has_changed_ = false;
  return true;
}

}  // namespace gossip::engine
