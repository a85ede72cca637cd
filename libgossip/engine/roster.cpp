// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <numeric>
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
      steps_(static_cast<std::size_t>(group.size()), 0) {
  if (group.size() == 1) return;
  channel_ = group.make_channel({.capacity_bytes = steps_.size() * sizeof(std::int64_t),
                                 .slots = 4,
                                 .reading = transport::Reading::kLatest,
                                 .peers = peers_});
  // A roster that cannot go on only stops spreading news: the methods' own channels say why.
  work_ = group.background().add([this] { return look(); }, [](const std::exception_ptr&) {});
}

Roster::~Roster() { work_.reset(); }

void Roster::set_steps(std::int64_t steps) {
  const std::lock_guard lock(mutex_);
  steps_[static_cast<std::size_t>(rank_)] = steps;
  has_changed_ = true;
}

std::int64_t Roster::steps_of(Rank rank) const {
  const std::lock_guard lock(mutex_);
  return steps_[static_cast<std::size_t>(rank)];
}

std::int64_t Roster::job_steps() const {
  const std::lock_guard lock(mutex_);
  return std::reduce(steps_.begin(), steps_.end(), std::int64_t{0});
}

Activity Roster::look() {
  if (Clock::now() < next_look_) return Activity::kIdle;
  next_look_ = Clock::now() + kInterval;
  const std::lock_guard lock(mutex_);
  for (const Rank peer : peers_) {
    const auto message = channel_->latest(peer);
    if (!message) continue;
    for (std::size_t rank = 0; rank < steps_.size(); ++rank) {
      std::int64_t known = 0;
      std::memcpy(&known, message->payload().data() + rank * sizeof(known), sizeof(known));
      if (known <= steps_[rank] || std::cmp_equal(rank, rank_)) continue;
      steps_[rank] = known;
      has_changed_ = true;
    }
  }
  return has_changed_ && publish() ? Activity::kMoved : Activity::kIdle;
}

bool Roster::publish() {
  Rank blocking = -1;
  const auto slot = channel_->try_acquire(peers_, blocking);
  if (!slot) return false;
  const std::size_t bytes = steps_.size() * sizeof(std::int64_t);
  std::memcpy(slot->data(), steps_.data(), bytes);
  channel_->commit({.bytes = bytes});
  has_changed_ = false;
  return true;
}

}  // namespace gossip::engine
