// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/engine/rounds/mixer.h>
#include <libgossip/topology/checks.h>
#include <libgossip/transport/agreement.h>
#include <libgossip/transport/edges_in_use.h>

namespace gossip::engine {
namespace {

/// Corrections from this size on are made beside the caller's next gradient: of smaller ones waking
/// a thread would cost more.
constexpr std::size_t kHelperBytes = std::size_t{1} << 20U;

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

Mixer::Mixer(transport::Group& group, topology::Matrices matrices, Vectors vectors,
             const Patience& patience, Membership* membership, bool closes_as_agreed)
    : rank_(group.rank()),
      matrices_(std::move(matrices)),
      pulled_(std::move(vectors.pulled)),
      pushed_(std::move(vectors.pushed)),
      codec_(std::move(vectors.codec)),
      corrections_(std::move(vectors.corrections)),
      are_corrections_pushed_(vectors.are_corrections_pushed),
      are_corrections_replaced_(vectors.are_corrections_replaced),
      layout_(joined(joined(pulled_, pushed_), corrections_)),
      may_drop_(membership != nullptr && membership->may_drop()),
      closes_as_agreed_(closes_as_agreed),
      outgoing_(corrections_.size()) {
  GOSSIP_ASSERT(!codec_ || (pushed_.empty() && corrections_.empty()),
                "only what is pulled is encoded");
  transport::check_together(group, [&] { check(group); });
  transport::require_agreement(group, "vectors to mix",
                               layout_.description() + (codec_ ? ", " + codec_->name() : "") +
                                   (closes_as_agreed_ ? ", in rounds that close as agreed" : ""));
  if (codec_) {
    encoded_.resize(message_bytes_);
    for (const VectorView& vector : pulled_) codec_->reserve(vector);
  }
  exchange_.emplace(group, matrices_, used(), message_bytes_, patience, membership,
                    closes_as_agreed_);
  if (group.size() > 1 && !are_corrections_replaced_ &&
      MessageLayout(corrections_).bytes() >= kHelperBytes) {
    helper_ = std::make_unique<Helper>();
  }
}

void Mixer::check(transport::Group& group) {
  const topology::MatricesUsed in_use = used();
  if (in_use.pull) topology::check_size(matrices_.pull.name(), matrices_.pull.size(), group.size());
  if (in_use.push) topology::check_size(matrices_.push.name(), matrices_.push.size(), group.size());
  message_bytes_ = codec_ ? most_encoded_bytes(pulled_, *codec_) : layout_.bytes();
  if (closes_as_agreed_) {
    GOSSIP_CHECK(!in_use.push && !codec_ && !may_drop_,
                 "Rounds cannot close as agreed where a method pushes or compresses, or drops lost "
                 "neighbors: take another one, and on_lost_neighbor 'error'.");
    topology::validate_symmetric(matrices_.pull, transport::kMostEdgesInUse);
  }
  if (!may_drop_) return;
  GOSSIP_CHECK(
      !(in_use.pull && in_use.push) && !codec_ &&
          (corrections_.empty() || are_corrections_replaced_),
      "A method that corrects, compresses, or pulls and pushes cannot go on without a lost "
      "neighbor: take on_lost_neighbor 'error'.");
  if (in_use.pull) topology::check_may_drop(matrices_.pull, transport::kMostEdgesInUse);
}

/// A mixing of nothing is one that pulls.
topology::MatricesUsed Mixer::used() const noexcept {
  const bool is_corrected = !corrections_.empty();
  const bool is_pushing = !pushed_.empty() || are_corrections_pushed_;
  const bool is_pulling = !pulled_.empty() || (is_corrected && !are_corrections_pushed_);
  return {.pull = is_pulling || !is_pushing, .push = is_pushing};
}

Counters Mixer::counters() const {
  Counters sum = counters_;
  sum += exchange_->counters();
  return sum;
}

std::size_t Mixer::memory_bytes() const {
  return encoded_.size() + (codec_ ? codec_->memory_bytes() : 0) + kept_.size() +
         exchange_->memory_bytes();
}

void Mixer::settle() {
  if (helper_) helper_->wait();
}

const std::vector<VectorView>& Mixer::outgoing(std::int64_t round) {
  settle();
  if (exchange_->is_alone()) return outgoing_kept();
  exchange_->open(round);
  if (!exchange_->has_neighbors()) return outgoing_kept();
  const std::span<std::byte> slot = exchange_->slot();
  const std::size_t first = pulled_.size() + pushed_.size();
  for (std::size_t v = 0; v < corrections_.size(); ++v) {
    outgoing_[v] = layout_.view(slot, first + v);
  }
  return outgoing_;
}

const std::vector<VectorView>& Mixer::outgoing_kept() {
  settle();
  if (are_corrections_replaced_) return outgoing_ = corrections_;
  const MessageLayout layout(corrections_);
  const std::span<std::byte> room = layout.make_room(kept_);
  for (std::size_t v = 0; v < corrections_.size(); ++v) outgoing_[v] = layout.view(room, v);
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

double Mixer::mix(std::int64_t round, double weight, policy::WaitPolicy* wait) {
  GOSSIP_ASSERT(wait == nullptr || (!used().push && !codec_ && !may_drop_ &&
                                    (corrections_.empty() || closes_as_agreed_)),
                "only what is pulled as it is may be left out");
  ++counters_.gossip_rounds;
  if (exchange_->is_alone()) return weight;
  exchange_->begin(round, wait);
  const std::size_t bytes = exchange_->has_receivers() ? write(exchange_->slot()) : 0;
  exchange_->send(bytes, weight);
  exchange_->receive();
  return finish(weight);
}

double Mixer::skip(std::int64_t round, double weight) {
  GOSSIP_ASSERT(!codec_ && corrections_.empty(), "who compresses or corrects cannot skip a round");
  ++counters_.gossip_rounds;
  if (exchange_->is_alone()) return weight;
  exchange_->begin(round);
  exchange_->skip();
  exchange_->receive();
  return finish(weight);
}

/// What a rank does with the messages of a round. Returns its new push-sum weight.
double Mixer::finish(double weight) {
  codec_ ? combine_encoded() : combine();
  const double result = used().push ? pushed_weight(weight) : weight;
  if (helper_) {
    helper_->start([this] { correct(); });
  } else {
    correct();
  }
  return result;
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

/// What message part `index` is mixed from: when pulled, the neighbors', to be mixed into the own
/// one; when pushed, the own one as well.
template <class T>
void Mixer::list_sources(std::size_t index, bool is_pushed, const T* own,
                         std::vector<kernels::Source<T>>& sources) const {
  sources.clear();
  if (is_pushed) sources.push_back({own, kept<T>(exchange_->push())});
  const std::vector<transport::Message>& messages = exchange_->messages();
  for (std::size_t m = 0; m < messages.size(); ++m) {
    const RoundExchange::Sender& sender = exchange_->senders()[m];
    const double weight = is_pushed ? sender.push : sender.pull;
    if (weight == 0.0) continue;
    const std::span<T> theirs = layout_.view(messages[m].payload(), index).template as<T>();
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
  const std::size_t messages = exchange_->messages().size();
  count_passes(pulled_, 2 + messages);
  count_passes(pushed_, 2 + messages);
  count_passes(corrections_, (are_corrections_replaced_ ? 2 : 3) + messages);
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
  exchange_->release();
}

template <class T>
void Mixer::correct(std::span<T> correction, std::span<const T> own, std::size_t index) noexcept {
  auto& sources = std::get<std::vector<kernels::Source<T>>>(sources_of_corrections_);
  list_sources<T>(index, are_corrections_pushed_, own.data(), sources);
  const std::span<const kernels::Source<T>> all(sources);
  if (are_corrections_replaced_) {
    kernels::combine(correction, all);
  } else if (are_corrections_pushed_) {
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
  const auto add_own = [this] {
    add_encoded(std::span(encoded_).first(encoded_bytes_), exchange_->pull().self_weight);
  };
  const std::vector<transport::Message>& messages = exchange_->messages();
  bool is_own_added = false;
  for (std::size_t m = 0; m < messages.size(); ++m) {
    if (!is_own_added && messages[m].from() > rank_) {
      add_own();
      is_own_added = true;
    }
    add_encoded(messages[m].payload(), exchange_->senders()[m].pull);
  }
  if (!is_own_added) add_own();
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
  double sum = exchange_->push().self_weight * own;
  const std::vector<transport::Message>& messages = exchange_->messages();
  for (std::size_t m = 0; m < messages.size(); ++m) {
    sum += exchange_->senders()[m].push * messages[m].header().weight;
  }
  return sum;
}

}  // namespace gossip::engine
