// SPDX-License-Identifier: Apache-2.0
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

/// In one round, to one rank.
int most_senders(const topology::Schedule& schedule) {
  constexpr int kRoundsExamined = 64;  // of a schedule that never repeats
  const int rounds = schedule.period() > 0 ? schedule.period() : kRoundsExamined;
  return std::max(1, schedule.max_degree(rounds));
}

}  // namespace

Mixer::Mixer(transport::Group& group, topology::Schedule schedule, std::vector<VectorView> vectors,
             const Patience& patience)
    : group_(group), schedule_(std::move(schedule)), vectors_(std::move(vectors)) {
  transport::check_together(group, [&] {
    GOSSIP_CHECK(schedule_.size() == group.size(),
                 "The topology '{}' is made for {} ranks, but the group has {}: make it with the "
                 "group's size.",
                 schedule_.name(), schedule_.size(), group.size());
  });
  transport::require_agreement(group, "vectors to mix", description_of(vectors_));
  for (const VectorView& vector : vectors_) {
    offsets_.push_back(message_bytes_);
    message_bytes_ += (vector.bytes() + kAlignment - 1) / kAlignment * kAlignment;
  }
  if (group.size() > 1) {
    channel_ = group.make_channel({.capacity_bytes = message_bytes_,
                                   .slots = message_bytes_ <= kSecondSlotBytes ? 2 : 1,
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
  send(round);
  receive(round);
  combine();
  messages_.clear();
}

void Mixer::send(std::int64_t round) {
  receivers_.clear();
  for (const topology::Neighbor& receiver : neighborhood_.out) receivers_.push_back(receiver.rank);
  if (receivers_.empty()) return;
  const Clock::time_point start = Clock::now();
  const std::span<std::byte> slot = channel_->acquire(receivers_);
  counters_.wait_seconds += seconds_between(start, Clock::now());
  for (std::size_t v = 0; v < vectors_.size(); ++v) {
    if (vectors_[v].size > 0)
      std::memcpy(slot.data() + offsets_[v], vectors_[v].data, vectors_[v].bytes());
  }
  channel_->commit({.round = round, .bytes = message_bytes_});
  counters_.bytes_sent += message_bytes_ * receivers_.size();
}

void Mixer::receive(std::int64_t round) {
  const Clock::time_point start = Clock::now();
  for (const topology::Neighbor& sender : neighborhood_.in) {
    messages_.push_back(channel_->next(sender.rank));
    const transport::Header& header = messages_.back().header();
    GOSSIP_CHECK(
        header.round == round,
        "Rank {} is in round {} while rank {} is in round {}: all ranks must make the same steps.",
        sender.rank, header.round, group_.rank(), round);
    counters_.bytes_received += header.bytes;
  }
  counters_.wait_seconds += seconds_between(start, Clock::now());
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
