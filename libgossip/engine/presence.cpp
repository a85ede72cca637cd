// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <optional>

#include <libgossip/base/error.h>
#include <libgossip/engine/presence.h>

namespace gossip::engine {

Presence::Presence(transport::Group& group) : group_(group) {
  if (group.size() == 1 || !transport::is_one_host(group)) return;
  // A reader holds a slot for a moment only; more slots than two keep writers from waiting for it.
  channel_ = group.make_channel(
      {.capacity_bytes = sizeof(State), .slots = 4, .reading = transport::Reading::kLatest});
}

void Presence::publish(transport::MessageKind kind) {
  if (!channel_) return;
  std::memcpy(channel_->acquire({}).data(), &own_, sizeof(own_));
  channel_->commit({.kind = kind, .bytes = sizeof(own_)});
}

void Presence::leave(std::int64_t steps) {
  own_.steps = steps;
  ++own_.absences;
  publish(transport::MessageKind::kLeave);
}

void Presence::come_back() { publish(transport::MessageKind::kData); }

void Presence::check(std::int64_t step) {
  if (!channel_) return;
  for (Rank rank = 0; rank < group_.size(); ++rank) {
    const auto message = rank == group_.rank() ? std::nullopt : channel_->latest(rank);
    if (!message || message->header().kind != transport::MessageKind::kLeave) continue;
    State other;
    std::memcpy(&other, message->payload().data(), sizeof(other));
    GOSSIP_CHECK(
        other.steps > step || other.absences <= own_.absences,
        "Rank {} left the training loop after {} steps (it ran out of batches, or evaluates), "
        "while rank {} waits "
        "for it in step {}: give every rank the same number of steps, as train::Shard does.",
        rank, other.steps, group_.rank(), step + 1);
  }
}

}  // namespace gossip::engine
