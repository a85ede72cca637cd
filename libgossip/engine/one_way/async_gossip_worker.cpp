// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/engine/one_way/async_gossip_worker.h>
#include <libgossip/topology/checks.h>
#include <libgossip/topology/union_graph.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {
namespace {

/// The newest publication, one that a neighbor still reads, and one to write.
constexpr int kSlots = 3;

std::vector<Rank> checked_peers(transport::Group& group, const topology::Schedule& schedule,
                                const AsyncGossipWorkerOptions& options) {
  transport::check_together(group, [&] {
    topology::check_size(schedule.name(), schedule.size(), group.size());
    topology::validate_row_stochastic(schedule);
    static_cast<void>(algorithm::AsyncGossip(options.exponent));
  });
  topology::warn_if_apart(group.rank(), schedule);
  return topology::union_graph(schedule).out_neighbors(group.rank());
}

}  // namespace

AsyncGossipWorker::AsyncGossipWorker(transport::Group& group, topology::Schedule schedule,
                                     ModelPort& port, const AsyncGossipWorkerOptions& options)
    : group_(group),
      schedule_(std::move(schedule)),
      model_(port.model()),
      port_(port),
      options_(options),
      peers_(checked_peers(group, schedule_, options)),
      algorithm_(options.exponent),
      membership_(group, peers_,
                  {.timeout = options.timeout, .on_lost_neighbor = options.on_lost_neighbor}),
      layout_(model_),
      sightings_(static_cast<std::size_t>(group.size())) {
  transport::require_agreement(group, "vectors to mix", layout_.description());
  if (group.size() == 1) return;
  channel_ = group.make_channel({.capacity_bytes = layout_.bytes(),
                                 .slots = kSlots,
                                 .reading = transport::Reading::kLatest,
                                 .timeout = options.timeout,
                                 .peers = peers_});
}

void AsyncGossipWorker::finish(const policy::Decision& decision) {
  port_.local_update();
  if (decision.communicates && channel_) {
    ++counters_.gossip_rounds;
    Rank blocking = -1;
    if (const auto slot = channel_->try_acquire(peers_, blocking)) {
      publish(*slot);
    } else {
      ++counters_.skipped;
    }
    mix(position_.round++);
  }
  ++position_.step;
  membership_.set_steps(position_.step);
}

void AsyncGossipWorker::publish(std::span<std::byte> slot) {
  layout_.write(slot, model_);
  transport::Header header = membership_.header();
  header.round = pauses_;
  header.bytes = layout_.bytes();
  channel_->commit(header);
  counters_.bytes_sent += layout_.bytes();
}

void AsyncGossipWorker::mix(std::int64_t round) {
  messages_.clear();
  weights_.clear();
  const auto is_live = [this](Rank rank) { return !membership_.is_lost(rank); };
  schedule_.neighborhood(round, group_.rank(), is_live, neighborhood_);
  for (const topology::Neighbor& sender : neighborhood_.in) {
    look_at(sender);
  }
  for (std::size_t v = 0; v < model_.size(); ++v) {
    visit(model_[v], [&]<class T>(std::span<T> own) {
      auto& sources = std::get<std::vector<kernels::Source<T>>>(sources_);
      sources.clear();
      for (std::size_t m = 0; m < messages_.size(); ++m) {
        const VectorView theirs = layout_.view(messages_[m].payload(), v);
        sources.push_back({theirs.as<T>().data(), weights_[m]});
      }
      kernels::mix(own, std::span<const kernels::Source<T>>(sources));
    });
  }
  messages_.clear();
}

void AsyncGossipWorker::look_at(const topology::Neighbor& sender) {
  Sighting& known = sightings_[static_cast<std::size_t>(sender.rank)];
  auto message = channel_->latest(sender.rank);
  const bool has_news = message && message->header().sequence != known.sequence;
  if (is_lost(sender.rank, has_news) || !message) return;
  if (message->header().round < pauses_) return;  // who paused may have loaded another state
  if (has_news) {
    known.sequence = message->header().sequence;
    known.first_seen = position_.step;
    counters_.bytes_received += message->header().bytes;
  }
  const std::int64_t staleness = position_.step - known.first_seen;
  counters_.ages.add(staleness);
  counters_.bytes_averaged += message->header().bytes;
  weights_.push_back(algorithm_.weight(sender.weight, staleness));
  messages_.push_back(std::move(*message));
}

/// Of who has left nothing is expected.
bool AsyncGossipWorker::is_lost(Rank sender, bool has_news) {
  if (has_news || membership_.state_of(sender) == MemberState::kLeft) {
    membership_.note_progress(sender);
  } else if (membership_.is_overdue(sender)) {
    membership_.lose(sender, "publish a model");
    return true;
  }
  return false;
}

/// The last model stays where the others can read it, up to the end of their pauses.
void AsyncGossipWorker::leave() {
  if (membership_.has_left()) return;
  membership_.leave();
  if (channel_) {
    try {  // a reader holds a slot for a moment only
      publish(channel_->acquire(peers_));
    } catch (const TimeoutError&) {  // the others may take this rank for silent
    }
  }
  group_.barrier();
  ++pauses_;
  for (const Rank peer : peers_) membership_.note_progress(peer);
}

/// The pause was nobody's silence.
void AsyncGossipWorker::come_back() {
  for (const Rank peer : peers_) membership_.note_progress(peer);
  membership_.come_back();
}

void AsyncGossipWorker::come_back_alone() {
  membership_.come_back_alone();
  come_back();
}

Counters AsyncGossipWorker::counters() const {
  Counters sum = counters_;
  membership_.add_to(sum);
  return sum;
}

void AsyncGossipWorker::set_position(const Position& position) {
  position_ = position;
  for (Sighting& sighting : sightings_) sighting.first_seen = position.step;
  membership_.restart(position.step);
}

std::size_t AsyncGossipWorker::memory_bytes() const {
  return channel_ ? channel_->memory_bytes() : 0;
}

}  // namespace gossip::engine
