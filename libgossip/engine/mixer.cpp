// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/engine/mixer.h>
#include <libgossip/engine/neighbors.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {
namespace {

constexpr std::size_t kAlignment = 64;

/// Messages up to this size get a second slot, so that a rank may send its next round before all
/// have read the last: in fast rounds that waiting would show. Beside the time that a larger model
/// computes it does not, but a second copy of the model would.
constexpr std::size_t kSecondSlotBytes = std::size_t{1} << 20U;

std::string description_of(const std::vector<VectorView>& vectors) {
  std::string text = fmt::format("{} vectors:", vectors.size());
  for (const VectorView& vector : vectors) {
    text += fmt::format(" {} of {} bytes", vector.size, size_of(vector.dtype));
  }
  return text;
}

int rounds_examined(const topology::Schedule& schedule) {
  constexpr int kRoundsExamined = 64;  // of a schedule that never repeats
  return schedule.period() > 0 ? schedule.period() : kRoundsExamined;
}

/// In one round, to one rank.
int most_senders(const topology::Schedule& schedule) {
  return std::max(1, schedule.max_degree(rounds_examined(schedule)));
}

void check_mutual(const topology::Schedule& schedule) {
  topology::Neighborhood neighborhood;
  for (int round = 0; round < rounds_examined(schedule); ++round) {
    for (Rank rank = 0; rank < schedule.size(); ++rank) {
      schedule.neighborhood(round, rank, neighborhood);
      GOSSIP_CHECK(
          std::ranges::equal(neighborhood.in, neighborhood.out, {}, &topology::Neighbor::rank,
                             &topology::Neighbor::rank),
          "The topology '{}' has neighbors that are not mutual (rank {} in round {}), so a "
          "lost one cannot be dropped: take ring, torus or random-matching, or push-sum.",
          schedule.name(), rank, round);
    }
  }
}

/// Two messages to each neighbor that may get lost, as far as a channel has room for them.
int slots_of(std::size_t bytes, int most_neighbors, bool may_drop) {
  constexpr int kMostSlots = 14;
  const int slots = bytes <= kSecondSlotBytes ? 2 : 1;
  return may_drop ? std::min(kMostSlots, slots + 2 * most_neighbors) : slots;
}

}  // namespace

Mixer::Mixer(transport::Group& group, topology::Schedule schedule, std::vector<VectorView> vectors,
             const Patience& patience, OnLostNeighbor on_lost_neighbor)
    : group_(group),
      schedule_(std::move(schedule)),
      vectors_(std::move(vectors)),
      lost_(group.rank(), group.size(), on_lost_neighbor) {
  transport::check_together(group, [&] {
    check_size(schedule_.name(), schedule_.size(), group);
    if (lost_.may_drop()) check_mutual(schedule_);
  });
  transport::require_agreement(group, "vectors to mix", description_of(vectors_));
  for (const VectorView& vector : vectors_) {
    offsets_.push_back(message_bytes_);
    message_bytes_ += (vector.bytes() + kAlignment - 1) / kAlignment * kAlignment;
  }
  if (group.size() > 1) {
    channel_ = group.make_channel(
        {.capacity_bytes = message_bytes_,
         .slots = slots_of(message_bytes_, most_senders(schedule_), lost_.may_drop()),
         .timeout = patience.timeout,
         .while_waiting = patience.while_waiting,
         .receive_slots = most_senders(schedule_),
         .peers = union_graph(schedule_).out_neighbors(group.rank())});
  }
}

std::size_t Mixer::memory_bytes() const { return channel_ ? channel_->memory_bytes() : 0; }

void Mixer::pull(std::int64_t round) {
  ++counters_.gossip_rounds;
  if (!channel_) return;
  messages_.clear();  // of a round that failed
  schedule_.neighborhood(round, group_.rank(), neighborhood_);
  if (lost_.may_drop()) leave_out_lost();
  const std::int64_t number = numbers_.next(round);
  send(number);
  receive(number);
  combine();
  messages_.clear();
}

void Mixer::send(std::int64_t number) {
  receivers_.clear();
  for (const topology::Neighbor& receiver : neighborhood_.out) receivers_.push_back(receiver.rank);
  if (receivers_.empty()) return;
  const std::span<std::byte> slot = acquire();
  for (std::size_t v = 0; v < vectors_.size(); ++v) {
    if (vectors_[v].size > 0)
      std::memcpy(slot.data() + offsets_[v], vectors_[v].data, vectors_[v].bytes());
  }
  channel_->commit({.round = number, .bytes = message_bytes_});
  counters_.bytes_sent += message_bytes_ * receivers_.size();
}

/// A slot for `receivers_`, less those that turn out to be lost.
std::span<std::byte> Mixer::acquire() {
  const Clock::time_point start = Clock::now();
  for (;;) {
    try {
      const std::span<std::byte> slot = channel_->acquire(receivers_);
      counters_.wait_seconds += seconds_between(start, Clock::now());
      return slot;
    } catch (const TimeoutError& error) {
      if (!lost_.may_drop() || lost_.contains(error.peer())) throw;
      lost_.add(error.peer(), "read a message", seconds_between(start, Clock::now()), counters_);
      std::erase(receivers_, error.peer());
      leave_out_lost();
    }
  }
}

/// What came from them too late makes room for others.
void Mixer::leave_out_lost() {
  const auto is_lost = [this](const topology::Neighbor& neighbor) {
    return lost_.contains(neighbor.rank);
  };
  for (const topology::Neighbor& sender : neighborhood_.in) {
    while (is_lost(sender) && channel_->try_next(sender.rank)) {
    }
  }
  std::erase_if(neighborhood_.in, is_lost);
  std::erase_if(neighborhood_.out, is_lost);
}

void Mixer::receive(std::int64_t number) {
  const Clock::time_point start = Clock::now();
  std::erase_if(neighborhood_.in, [&](const topology::Neighbor& sender) {
    return !receive_from(sender.rank, number);
  });
  counters_.wait_seconds += seconds_between(start, Clock::now());
}

/// False when the sender is lost.
bool Mixer::receive_from(Rank sender, std::int64_t number) {
  const Clock::time_point start = Clock::now();
  try {
    messages_.push_back(channel_->next(sender));
  } catch (const TimeoutError&) {
    if (!lost_.may_drop()) throw;
    lost_.add(sender, "send a message", seconds_between(start, Clock::now()), counters_);
    return false;
  }
  const transport::Header& header = messages_.back().header();
  GOSSIP_CHECK(
      header.round == number,
      "Rank {} is in round {} while rank {} is in round {}: all ranks must make the same steps.",
      sender, RoundNumbers::round_of(header.round), group_.rank(), RoundNumbers::round_of(number));
  counters_.bytes_received += header.bytes;
  return true;
}

void Mixer::combine() {
  for (std::size_t v = 0; v < vectors_.size(); ++v) {
    visit(vectors_[v], [&]<class T>(std::span<T> own) {
      auto& sources = std::get<std::vector<kernels::Source<T>>>(sources_);
      sources.clear();
      for (std::size_t m = 0; m < messages_.size(); ++m) {
        const std::byte* start = messages_[m].payload().data() + offsets_[v];
        sources.push_back({reinterpret_cast<const T*>(start), neighborhood_.in[m].weight});
      }
      kernels::mix(own, std::span<const kernels::Source<T>>(sources));
    });
  }
}

}  // namespace gossip::engine
