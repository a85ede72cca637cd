// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include <libgossip/base/error.h>
#include <libgossip/engine/presence.h>

namespace gossip::engine {
namespace {

/// Between hosts each has memory of its own.
constexpr std::size_t kMostPeers = 256;

std::vector<Rank> all_but(Rank self, int size) {
  std::vector<Rank> ranks;
  for (Rank rank = 0; rank < size; ++rank) {
    if (rank != self) ranks.push_back(rank);
  }
  return ranks;
}

std::size_t most_neighbors(const topology::Graph& graph) {
  std::size_t most = 0;
  for (Rank rank = 0; rank < graph.size(); ++rank) {
    most = std::max(most, graph.out_neighbors(rank).size());
  }
  return most;
}

}  // namespace

Presence::Presence(transport::Group& group)
    : group_(group), peers_(all_but(group.rank(), group.size())) {
  if (transport::is_one_host(group) || peers_.size() <= kMostPeers) open();
}

Presence::Presence(transport::Group& group, const topology::Graph& neighbors)
    : group_(group), peers_(neighbors.out_neighbors(group.rank())) {
  if (transport::is_one_host(group) || most_neighbors(neighbors) <= kMostPeers) open();
}

void Presence::open() {
  if (group_.size() == 1) return;
  // A reader holds a slot for a moment only; more slots than two keep writers from waiting for it.
  channel_ = group_.make_channel({.capacity_bytes = sizeof(State),
                                  .slots = 4,
                                  .reading = transport::Reading::kLatest,
                                  .peers = peers_});
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

void Presence::come_back_alone() {
  --own_.absences;
  come_back();
}

void Presence::check(std::int64_t step) {
  if (!channel_) return;
  for (const Rank rank : peers_) {
    const auto message = channel_->latest(rank);
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
