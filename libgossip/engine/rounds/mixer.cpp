// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/engine/neighbors.h>
#include <libgossip/engine/rounds/edges_in_use.h>
#include <libgossip/engine/rounds/matrix_checks.h>
#include <libgossip/engine/rounds/mixer.h>
#include <libgossip/transport/agreement.h>

namespace gossip::engine {
namespace {

/// Messages up to this size get a second slot, so that a rank may send its next round before all
/// have read the last: in fast rounds that waiting would show. Beside the time that a larger model
/// computes it does not, but a second copy of the model would.
constexpr std::size_t kSecondSlotBytes = std::size_t{1} << 20U;

/// Corrections from this size on are made beside the caller's next gradient: of smaller ones waking
/// a thread would cost more.
constexpr std::size_t kHelperBytes = std::size_t{1} << 20U;

constexpr std::size_t kAlignment = 64;

/// How often a rank that waits looks who is lost.
constexpr std::chrono::milliseconds kLossesEvery{100};

/// Two messages to each neighbor that may get lost, as far as a channel has room for them.
int slots_of(std::size_t bytes, int most_neighbors, bool may_drop) {
  constexpr int kMostSlots = 14;
  const int slots = bytes <= kSecondSlotBytes ? 2 : 1;
  return may_drop ? std::min(kMostSlots, slots + 2 * most_neighbors) : slots;
}

/// What a rank keeps of what it pushes: all but the shares as the receivers' type has them, so that
/// rounded weights do not make the sum over the ranks grow.
template <class T>
double kept(const topology::Neighborhood& neighborhood) {
  double share = 1.0;
  for (const topology::Neighbor& receiver : neighborhood.out) {
    share -= static_cast<double>(static_cast<T>(receiver.weight));
  }
  return share;
}

std::vector<VectorView> joined(std::vector<VectorView> first,
                               const std::vector<VectorView>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

/// Of the vectors encoded one after the other, each behind its length.
std::size_t most_encoded_bytes(const std::vector<VectorView>& vectors,
                               const kernels::Codec& codec) {
  std::size_t bytes = 0;
  for (const VectorView& vector : vectors) bytes += sizeof(std::uint64_t) + codec.max_bytes(vector);
  return bytes;
}

}  // namespace

Mixer::Mixer(transport::Group& group, Matrices matrices, Vectors vectors, const Patience& patience,
             Membership* membership)
    : group_(group),
      matrices_(std::move(matrices)),
      pulled_(std::move(vectors.pulled)),
      pushed_(std::move(vectors.pushed)),
      codec_(std::move(vectors.codec)),
      corrections_(std::move(vectors.corrections)),
      are_corrections_pushed_(vectors.are_corrections_pushed),
      layout_(joined(joined(pulled_, pushed_), corrections_)),
      membership_(membership) {
  GOSSIP_ASSERT(!codec_ || (pushed_.empty() && corrections_.empty()),
                "only what is pulled is encoded");
  outgoing_.resize(corrections_.size());
  transport::check_together(group, [&] {
    check_size(matrices_.pull.name(), matrices_.pull.size(), group);
    if (is_pushing()) check_size(matrices_.push.name(), matrices_.push.size(), group);
    message_bytes_ = codec_ ? most_encoded_bytes(pulled_, *codec_) : layout_.bytes();
    if (!may_drop()) return;
    GOSSIP_CHECK(!is_pushing() && !codec_ && corrections_.empty(),
                 "A method that pushes or compresses cannot go on without a lost neighbor: take "
                 "on_lost_neighbor 'error'.");
    check_may_drop(matrices_.pull);
  });
  transport::require_agreement(
      group, "vectors to mix",
      codec_ ? layout_.description() + ", " + codec_->name() : layout_.description());
  if (codec_) {
    encoded_.resize(message_bytes_);
    for (const VectorView& vector : pulled_) codec_->reserve(vector);
  }
  if (group.size() == 1) return;
  peers_ = neighbors_of(group.rank(), matrices_, is_pushing());
  const int senders = most_senders(matrices_, is_pushing());
  channel_ = group.make_channel({.capacity_bytes = message_bytes_,
                                 .slots = slots_of(message_bytes_, senders, may_drop()),
                                 .timeout = patience.timeout,
                                 .while_waiting = patience.while_waiting,
                                 .receive_slots = senders,
                                 .peers = peers_});
  if (MessageLayout(corrections_).bytes() >= kHelperBytes) helper_ = std::make_unique<Helper>();
}

std::size_t Mixer::memory_bytes() const {
  return encoded_.size() + (codec_ ? codec_->memory_bytes() : 0) + kept_.size() +
         (channel_ ? channel_->memory_bytes() : 0);
}

void Mixer::settle() {
  if (helper_) helper_->wait();
}

const std::vector<VectorView>& Mixer::outgoing(std::int64_t round) {
  settle();
  if (!channel_) return outgoing_kept();
  if (slot_.empty()) {
    messages_.clear();  // of a round that failed
    find_neighbors(round);
    if (senders_.empty() && receivers_.empty()) return outgoing_kept();
    slot_ = acquire();
  }
  const std::size_t first = pulled_.size() + pushed_.size();
  for (std::size_t v = 0; v < corrections_.size(); ++v)
    outgoing_[v] = layout_.view(slot_, first + v);
  return outgoing_;
}

const std::vector<VectorView>& Mixer::outgoing_kept() {
  settle();
  const MessageLayout layout(corrections_);
  kept_.resize(layout.bytes() + kAlignment);
  const auto misalignment = reinterpret_cast<std::uintptr_t>(kept_.data()) % kAlignment;
  const auto aligned = std::span(kept_).subspan((kAlignment - misalignment) % kAlignment);
  for (std::size_t v = 0; v < corrections_.size(); ++v) outgoing_[v] = layout.view(aligned, v);
  return outgoing_;
}

void Mixer::compress() {
  count_passes(pulled_, 2);
  encoded_bytes_ = 0;
  for (const VectorView& vector : pulled_) {
    const std::span<std::byte> out =
        std::span(encoded_).subspan(encoded_bytes_ + sizeof(std::uint64_t));
    const std::uint64_t bytes = codec_->encode(vector, out);
    std::memcpy(out.data() - sizeof(bytes), &bytes, sizeof(bytes));
    if (vector.size > 0) std::memset(vector.data, 0, vector.bytes());
    codec_->add(out.first(bytes), 1.0, vector);
    encoded_bytes_ += sizeof(bytes) + bytes;
  }
}

double Mixer::mix(std::int64_t round, double weight) {
  ++counters_.gossip_rounds;
  if (!channel_) return weight;
  if (slot_.empty()) {
    messages_.clear();
    find_neighbors(round);
  }
  round_ = round;
  if (may_drop()) leave_out_lost();
  const std::int64_t number = numbers_.next(round);
  send(number, weight);
  receive(number);
  codec_ ? combine_encoded() : combine();
  const double result = is_pushing() ? pushed_weight(weight) : weight;
  if (helper_) {
    helper_->start([this] { correct(); });
  } else {
    correct();
  }
  return result;
}

/// Lists of both matrices, merged.
void Mixer::find_neighbors(std::int64_t round) {
  matrices_.pull.neighborhood(round, group_.rank(), pull_);
  senders_.clear();
  receivers_.clear();
  for (const topology::Neighbor& sender : pull_.in) {
    senders_.push_back({.rank = sender.rank, .pull = sender.weight});
  }
  for (const topology::Neighbor& receiver : pull_.out) receivers_.push_back(receiver.rank);
  if (!is_pushing()) return;
  matrices_.push.neighborhood(round, group_.rank(), push_);
  for (const topology::Neighbor& sender : push_.in) {
    const auto known = std::ranges::find(senders_, sender.rank, &Sender::rank);
    if (known != senders_.end()) {
      known->push = sender.weight;
    } else {
      senders_.push_back({.rank = sender.rank, .push = sender.weight});
    }
  }
  std::ranges::sort(senders_, {}, &Sender::rank);
  for (const topology::Neighbor& receiver : push_.out) {
    if (std::ranges::find(receivers_, receiver.rank) == receivers_.end()) {
      receivers_.push_back(receiver.rank);
    }
  }
}

void Mixer::send(std::int64_t number, double weight) {
  if (receivers_.empty()) {
    if (senders_.empty()) return;
    if (slot_.empty()) static_cast<void>(acquire());
    slot_ = {};
    // Also who sends nothing says that it is in this round.
    channel_->commit({.kind = transport::MessageKind::kSkip, .round = number});
    return;
  }
  const std::size_t bytes = write(slot_.empty() ? acquire() : slot_);
  slot_ = {};
  transport::Header header = may_drop() ? header_of_round() : transport::Header{};
  header.round = number;
  header.weight = weight;
  header.bytes = bytes;
  channel_->commit(header);
  counters_.bytes_sent += bytes * receivers_.size();
}

/// What this rank says of its edges in this round, and holds to.
transport::Header Mixer::header_of_round() {
  transport::Header header = membership_->header();
  header.uses = edges_in_use(pull_.in, [this](Rank rank) { return !membership_->is_lost(rank); });
  header.degree = degree_;
  std::erase_if(senders_, [&](const Sender& sender) {
    return !is_in_use(header.uses, pull_.in, sender.rank);
  });
  return header;
}

/// Returns the bytes of the message.
std::size_t Mixer::write(std::span<std::byte> slot) {
  if (!codec_) {
    layout_.write(slot, pulled_);
    layout_.write(slot, pushed_, pulled_.size());
    count_passes(pulled_, 2);
    count_passes(pushed_, 2);
    return message_bytes_;
  }
  std::memcpy(slot.data(), encoded_.data(), encoded_bytes_);
  return encoded_bytes_;
}

/// A slot for `receivers_`, less those that turn out to be lost.
std::span<std::byte> Mixer::acquire() {
  const Clock::time_point start = Clock::now();
  Rank blocking = -1;
  for (;;) {
    try {
      const std::span<std::byte> slot = channel_->acquire(receivers_);
      counters_.wait_seconds += seconds_between(start, Clock::now());
      return slot;
    } catch (const TimeoutError& error) {
      if (!may_drop() || error.peer() == blocking) throw;  // also without it
      blocking = error.peer();
      membership_->lose(error.peer(), "read a message", seconds_between(start, Clock::now()));
      leave_out_lost();
    }
  }
}

/// What came from them too late makes room for others.
void Mixer::leave_out_lost() {
  discard_late();
  std::erase_if(receivers_, [this](Rank rank) { return membership_->is_lost(rank); });
  std::erase_if(senders_, [this](const Sender& sender) {
    return std::ranges::find(receivers_, sender.rank) == receivers_.end();
  });
}

/// What a lost rank sent in any round, but for what this round has taken before it was lost:
/// between hosts it would keep the room that others need.
void Mixer::discard_late() {
  for (const Rank peer : peers_) {
    const bool is_taken =
        std::ranges::binary_search(messages_, peer, {}, &transport::Message::from);
    while (membership_->is_lost(peer) && !is_taken && channel_->try_next(peer)) {
    }
  }
}

void Mixer::receive(std::int64_t number) {
  const Clock::time_point start = Clock::now();
  if (may_drop()) {
    receive_from_the_living(number);
  } else {
    for (const Sender& sender : senders_) take(channel_->next(sender.rank), number);
  }
  counters_.wait_seconds += seconds_between(start, Clock::now());
  degree_ = static_cast<std::uint16_t>(std::min<std::size_t>(senders_.size(), UINT16_MAX));
}

/// In the order in which they come, so that several silent ranks cost one timeout.
void Mixer::receive_from_the_living(std::int64_t number) {
  const Deadline deadline(channel_->options().timeout);
  late_.clear();
  for (const Sender& sender : senders_) late_.push_back(sender.rank);
  while (!late_.empty()) {
    std::optional<transport::Message> message = channel_->next_any(late_, deadline, kLossesEvery);
    message ? take(std::move(*message), number) : give_up_late(deadline);
  }
  std::erase_if(senders_, [this](const Sender& sender) {
    return !std::ranges::binary_search(messages_, sender.rank, {}, &transport::Message::from);
  });
}

/// Keeps it in the order of the ranks, however they came, unless its sender does not use the edge.
void Mixer::take(transport::Message message, std::int64_t number) {
  const Rank sender = message.from();
  const transport::Header& header = message.header();
  std::erase(late_, sender);
  RoundNumbers::check(sender, header.round, group_.rank(), number);
  counters_.bytes_received += header.bytes;
  if (may_drop()) {
    membership_->hear(sender, header);
    if (!is_used_by(sender, header)) return;
  }
  const auto place = std::ranges::upper_bound(messages_, sender, {}, &transport::Message::from);
  messages_.insert(place, std::move(message));
}

/// Those that this rank has waited for as long as it may, and those with which it is known that one
/// has given the other up: they send nothing more.
void Mixer::give_up_late(const Deadline& deadline) {
  const bool is_over = deadline.has_passed();
  std::erase_if(late_, [&](Rank rank) {
    const bool is_given_up = is_over || membership_->is_lost(rank);
    if (!is_given_up) return false;
    membership_->lose(rank, "send a message", deadline.elapsed_seconds());
    ++counters_.halves_lost;
    return true;
  });
  discard_late();
}

/// Where neighbors may be dropped: whether the sender uses its edge to this rank.
bool Mixer::is_used_by(Rank sender, const transport::Header& header) {
  matrices_.pull.neighborhood(round_, sender, theirs_);
  return is_in_use(header.uses, theirs_.in, group_.rank());
}

/// What message part `index` is mixed from: when pulled, the neighbors', to be mixed into the own
/// one; when pushed, the own one as well.
template <class T>
void Mixer::list_sources(std::size_t index, bool is_pushed, const T* own,
                         std::vector<kernels::Source<T>>& sources) const {
  sources.clear();
  if (is_pushed) sources.push_back({own, kept<T>(push_)});
  for (std::size_t m = 0; m < messages_.size(); ++m) {
    const double weight = is_pushed ? senders_[m].push : senders_[m].pull;
    if (weight == 0.0) continue;
    const std::span<T> theirs = layout_.view(messages_[m].payload(), index).template as<T>();
    sources.push_back({theirs.data(), weight});
  }
}

void Mixer::count_passes(const std::vector<VectorView>& vectors, std::size_t passes) {
  for (const VectorView& vector : vectors) {
    counters_.bytes_touched += passes * vector.bytes();
    counters_.bytes_touched_least += passes * vector.bytes();
  }
}

void Mixer::combine() {
  count_passes(pulled_, 2 + messages_.size());
  count_passes(pushed_, 2 + messages_.size());
  count_passes(corrections_, 3 + messages_.size());
  for (std::size_t v = 0; v < pulled_.size(); ++v) combine(pulled_[v], v, false);
  for (std::size_t v = 0; v < pushed_.size(); ++v) combine(pushed_[v], pulled_.size() + v, true);
}

void Mixer::combine(const VectorView& vector, std::size_t index, bool is_pushed) {
  visit(vector, [&]<class T>(std::span<T> own) {
    auto& sources = std::get<std::vector<kernels::Source<T>>>(sources_);
    list_sources<T>(index, is_pushed, own.data(), sources);
    const std::span<const kernels::Source<T>> all(sources);
    is_pushed ? kernels::combine(own, all) : kernels::mix(own, all);
  });
}

/// In the helper's thread, if there is one.
void Mixer::correct() noexcept {
  const std::size_t first = pulled_.size() + pushed_.size();
  for (std::size_t v = 0; v < corrections_.size(); ++v) {
    visit(corrections_[v], [&]<class T>(std::span<T> correction) {
      correct<T>(correction, outgoing_[v].as<T>(), first + v);
    });
  }
  messages_.clear();
}

template <class T>
void Mixer::correct(std::span<T> correction, std::span<const T> own, std::size_t index) noexcept {
  auto& sources = std::get<std::vector<kernels::Source<T>>>(sources_of_corrections_);
  list_sources<T>(index, are_corrections_pushed_, own.data(), sources);
  const std::span<const kernels::Source<T>> all(sources);
  if (are_corrections_pushed_) {
    sources.front().weight -= 1.0;  // exact: what goes to others
    kernels::add(correction, all);
  } else {
    kernels::add_differences(correction, own, all);
  }
}

/// All in the order of the ranks: where they give each other equal weights, all get the same bits.
void Mixer::combine_encoded() {
  count_passes(pulled_, 2);
  for (const VectorView& vector : pulled_) {
    if (vector.size > 0) std::memset(vector.data, 0, vector.bytes());
  }
  bool is_own_added = false;
  for (std::size_t m = 0; m < messages_.size(); ++m) {
    if (!is_own_added && senders_[m].rank > group_.rank()) {
      add_encoded(std::span(encoded_).first(encoded_bytes_), pull_.self_weight);
      is_own_added = true;
    }
    add_encoded(messages_[m].payload(), senders_[m].pull);
  }
  if (!is_own_added) add_encoded(std::span(encoded_).first(encoded_bytes_), pull_.self_weight);
}

void Mixer::add_encoded(std::span<const std::byte> message, double weight) {
  for (const VectorView& vector : pulled_) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, message.data(), sizeof(bytes));
    codec_->add(message.subspan(sizeof(bytes), bytes), weight, vector);
    message = message.subspan(sizeof(bytes) + bytes);
  }
}

double Mixer::pushed_weight(double own) const {
  double sum = push_.self_weight * own;
  for (std::size_t m = 0; m < messages_.size(); ++m) {
    sum += senders_[m].push * messages_[m].header().weight;
  }
  return sum;
}

}  // namespace gossip::engine
