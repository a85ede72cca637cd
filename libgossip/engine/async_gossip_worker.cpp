// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/engine/async_gossip_worker.h>
#include <libgossip/engine/neighbors.h>
#include <libgossip/topology/checks.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {
namespace {

/// The newest publication, one that a neighbor still reads, and one to write.
constexpr int kSlots = 3;

std::vector<Rank> checked_peers(transport::Group& group, const topology::Schedule& schedule,
                                const AsyncGossipWorkerOptions& options) {
  transport::check_together(group, [&] {
    check_size(schedule.name(), schedule.size(), group);
    topology::validate_row_stochastic(schedule);
    static_cast<void>(algorithm::AsyncGossip(options.exponent));
  });
  warn_if_apart(group.rank(), schedule);
  return union_graph(schedule).out_neighbors(group.rank());
}

}  // namespace

AsyncGossipWorker::AsyncGossipWorker(transport::Group& group, topology::Schedule schedule,
                                     std::vector<VectorView> model,
                                     std::function<void()> local_update,
                                     const AsyncGossipWorkerOptions& options)
    : group_(group),
      schedule_(std::move(schedule)),
      model_(std::move(model)),
      local_update_(std::move(local_update)),
      options_(options),
      peers_(checked_peers(group, schedule_, options)),
      algorithm_(options.exponent),
      roster_(group, peers_),
      layout_(model_),
      lost_(group.rank(), group.size(), options.on_lost_neighbor),
      sightings_(static_cast<std::size_t>(group.size())) {
  transport::require_agreement(group, "vectors to mix", layout_.description());
  if (group.size() == 1) return;
  channel_ = group.make_channel({.capacity_bytes = layout_.bytes(),
                                 .slots = kSlots,
                                 .reading = transport::Reading::kLatest,
                                 .timeout = options.timeout,
                                 .peers = peers_});
}

void AsyncGossipWorker::finish(bool communicate) {
  local_update_();
  if (communicate && channel_) {
    ++counters_.gossip_rounds;
    Rank blocking = -1;
    if (const auto slot = channel_->try_acquire(peers_, blocking)) {
      publish(*slot, transport::MessageKind::kData);
    } else {
      ++counters_.skipped;
    }
    mix(position_.round++);
  }
  ++position_.step;
  roster_.set_steps(position_.step);
}

void AsyncGossipWorker::publish(std::span<std::byte> slot, transport::MessageKind kind) {
  layout_.write(slot, model_);
  channel_->commit({.kind = kind, .round = pauses_, .bytes = layout_.bytes()});
  counters_.bytes_sent += layout_.bytes();
}

void AsyncGossipWorker::mix(std::int64_t round) {
  messages_.clear();
  weights_.clear();
  schedule_.neighborhood(round, group_.rank(), neighborhood_);
  for (const topology::Neighbor& sender : neighborhood_.in) {
    if (!lost_.contains(sender.rank)) look_at(sender);
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
  const bool is_expected = !message || message->header().kind != transport::MessageKind::kLeave;
  watch(sender.rank, has_news || !is_expected);
  if (!message || lost_.contains(sender.rank)) return;
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

void AsyncGossipWorker::watch(Rank sender, bool has_news) {
  Watch& watch = sightings_[static_cast<std::size_t>(sender)].watch;
  if (has_news) {
    watch.reset();
  } else if (watch.has_run_out(group_.rank(), sender, options_.timeout)) {
    lost_.add(sender, "publish a model", watch.seconds(), counters_);
  }
}

/// The last model stays where the others can read it, up to the end of their pauses.
void AsyncGossipWorker::leave() {
  if (is_away_) return;
  is_away_ = true;
  roster_.set_away(true);
  if (channel_) {
    try {  // a reader holds a slot for a moment only
      publish(channel_->acquire(peers_), transport::MessageKind::kLeave);
    } catch (const TimeoutError&) {  // the others may take this rank for silent
    }
  }
  group_.barrier();
  ++pauses_;
  for (Sighting& sighting : sightings_) sighting.watch.reset();
}

void AsyncGossipWorker::come_back() {
  is_away_ = false;
  roster_.set_away(false);
}

void AsyncGossipWorker::come_back_alone() {
  roster_.come_back_alone();
  come_back();
}

void AsyncGossipWorker::set_position(const Position& position) {
  position_ = position;
  for (Sighting& sighting : sightings_) sighting.first_seen = position.step;
  roster_.restart(position.step);
}

std::size_t AsyncGossipWorker::memory_bytes() const {
  return channel_ ? channel_->memory_bytes() : 0;
}

}  // namespace gossip::engine
