// SPDX-License-Identifier: Apache-2.0
// The owner's side; pair_exchange_streams.cpp has the communication thread's.
#include <algorithm>
#include <atomic>
#include <limits>
#include <new>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/engine/pairs/pair_exchange.h>
#include <libgossip/kernels/vector.h>

namespace gossip::engine {
namespace {

/// Slots of a channel for chunks, whatever the number of peers.
constexpr int kMostSlots = 32;

}  // namespace

PairExchange::PairExchange(transport::Group& group,
                           std::shared_ptr<const algorithm::PairAlgorithm> algorithm,
                           const std::vector<VectorView>& shapes, PairExchangeOptions options)
    : group_(group),
      options_(std::move(options)),
      rank_(group.rank()),
      membership_(group, options_.peers,
                  {.timeout = options_.timeout, .on_lost_neighbor = options_.on_lost_neighbor}),
      chunks_(group, std::move(algorithm), shapes, options_.elapsed, options_.timeout),
      meetings_so_far_(static_cast<std::size_t>(group.size()), 0),
      random_(SplitMix64::at(0, static_cast<std::uint64_t>(rank_))) {
  meetings_ = group.make_region(static_cast<std::size_t>(group.size()) * sizeof(Meeting));
  for (Rank other = 0; other < group.size(); ++other) new (&meeting(rank_, other)) Meeting;
  std::vector<Rank> far;
  for (const Rank peer : options_.peers) {
    streams_.push_back(std::make_unique<Stream>(peer));
    streams_.back()->is_near = group.shares_memory_with(peer);
    if (!streams_.back()->is_near) far.push_back(peer);
  }
  if (!transport::is_one_host(group)) {
    const int slots = std::clamp(static_cast<int>(far.size() * kWindow), 1, kMostSlots);
    const transport::ChannelOptions channel{.capacity_bytes = chunks_.largest_bytes(),
                                            .slots = slots,
                                            .timeout = options_.timeout,
                                            .receive_slots = slots,
                                            .has_rounds = false,
                                            .peers = far,
                                            .only_between_hosts = true};
    requests_ = group.make_channel(channel);
    answers_ = group.make_channel(channel);
  }
  group.barrier();
  if (streams_.empty()) return;
  work_ = group.background().add([this] { return look(); },
                                 [this](std::exception_ptr error) {
                                   const std::lock_guard lock(mutex_);
                                   error_ = std::move(error);
                                 });
}

PairExchange::~PairExchange() {
  if (!lifetime_.ends_alone()) {
    try {
      group_.barrier();  // nobody is served any more, so nobody may still ask
    } catch (const std::exception& error) {
      log(LogLevel::kWarning, rank_, "the pair exchange was not ended in order: {}", error.what());
    }
  }
  work_.reset();
  for (const std::unique_ptr<Stream>& stream : streams_) {
    stream->request.reset();
    stream->answer.reset();
  }
}

PairExchange::Stream* PairExchange::find(Rank peer) const {
  const auto stream = std::ranges::find_if(
      streams_, [&](const std::unique_ptr<Stream>& candidate) { return candidate->peer == peer; });
  return stream == streams_.end() ? nullptr : stream->get();
}

void PairExchange::check() const {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

void PairExchange::open() {
  check();
  const Clock::time_point start = Clock::now();
  std::size_t opened = 0;
  try {
    for (; opened < chunks_.count(); ++opened) chunks_.open(opened);
  } catch (...) {  // who holds the next chunk does not come back; others go on with these
    while (opened > 0) chunks_.unlock(--opened);
    throw;
  }
  is_open_ = true;
  const std::lock_guard lock(mutex_);
  counters_.wait_seconds += seconds_between(start, Clock::now());
}

void PairExchange::close() {
  if (!is_open_) return;  // an error came before open()
  is_open_ = false;
  for (std::size_t chunk = 0; chunk < chunks_.count(); ++chunk) chunks_.close(chunk);
}

void PairExchange::take_in() {
  check();
  for (std::size_t chunk = 0; chunk < chunks_.count(); ++chunk) {
    chunks_.lock(chunk);
    chunks_.take_in(chunk);
    chunks_.unlock(chunk);
  }
}

bool PairExchange::request(Rank peer) {
  Stream* stream = find(peer);
  GOSSIP_CHECK(stream != nullptr, "Rank {} cannot exchange with rank {}, which is no peer of it.",
               rank_, peer);
  int events = stream->events;
  while (events < kMostEvents && !stream->events.compare_exchange_weak(events, events + 1)) {
  }
  const bool is_new = events < kMostEvents && !membership_.is_lost(peer);
  {
    const std::lock_guard lock(mutex_);
    ++(is_new ? counters_.gossip_rounds : counters_.skipped);
  }
  if (is_new) group_.background().wake();
  return is_new;
}

void PairExchange::want(Rank peer) {
  Stream* stream = find(peer);
  GOSSIP_CHECK(stream != nullptr, "Rank {} cannot exchange with rank {}, which is no peer of it.",
               rank_, peer);
  if (membership_.is_lost(peer)) return;
  ++stream->wanted;
  group_.background().wake();
}

void PairExchange::want_no_more() {
  for (const std::unique_ptr<Stream>& stream : streams_) stream->wanted = 0;
}

bool PairExchange::is_wanting(Rank peer) const {
  const Stream* stream = find(peer);
  return stream != nullptr && !membership_.is_lost(peer) &&
         (stream->wanted > 0 || stream->events > 0);
}

/// Two ranks that share memory have one number together.
std::atomic<std::int64_t>& PairExchange::events_of(const Stream& stream) const {
  return stream.is_near ? meeting(std::min(rank_, stream.peer), std::max(rank_, stream.peer)).events
                        : meeting(rank_, stream.peer).events;
}

std::int64_t PairExchange::events_with(Rank peer) const {
  const Stream* stream = find(peer);
  return stream == nullptr ? 0 : events_of(*stream).load();
}

void PairExchange::allow(Rank peer, std::int64_t events) {
  meeting(rank_, peer).most = events_with(peer) + events;
}

bool PairExchange::is_busy(Rank peer) const {
  const Stream* stream = find(peer);
  return stream != nullptr && stream->events > 0;
}

void PairExchange::settle() {
  want_no_more();
  is_settling_ = true;
  for (std::size_t chunk = 0; chunk < chunks_.count(); ++chunk) chunks_.pause(chunk);
  for (const std::unique_ptr<Stream>& stream : streams_) {
    meeting(rank_, stream->peer).most = std::numeric_limits<std::int64_t>::max();
  }
  const auto is_idle = [this] {
    return std::ranges::none_of(streams_, [](const auto& stream) { return stream->events > 0; });
  };
  const Deadline deadline(twice(options_.timeout));  // the streams' own come first
  if (!wait_until(deadline, is_idle, [this] { check(); })) {
    throw TimeoutError(-1, fmt::format("Rank {}'s exchanges did not end within {} ms.", rank_,
                                       deadline.timeout().count()));
  }
  const auto take_over = [this] {
    is_settling_ = false;
    has_met_absence_ = false;
    open();
    for (std::size_t chunk = 0; chunk < chunks_.count(); ++chunk) chunks_.take_in(chunk);
  };
  try {
    group_.barrier();
  } catch (...) {
    take_over();
    throw;
  }
  take_over();
  group_.barrier();
}

PairExchange::Meeting& PairExchange::meeting(Rank of, Rank with) const {
  return reinterpret_cast<Meeting*>(meetings_->of(of).data())[with];
}

void PairExchange::meet(Rank peer, double alpha) {
  GOSSIP_CHECK(
      peer >= 0 && peer < group_.size() && peer != rank_ && group_.shares_memory_with(peer),
      "Rank {} cannot meet rank {}: a peer is another rank of the same host.", rank_, peer);
  GOSSIP_ASSERT(is_open_, "rank {} met rank {} while its exchange was closed", rank_, peer);
  const std::uint64_t number = ++meetings_so_far_[static_cast<std::size_t>(peer)];
  Meeting& own = meeting(rank_, peer);
  const Meeting& theirs = meeting(peer, rank_);
  const auto wait_for = [&](const std::atomic<std::uint64_t>& word) {
    if (wait_until(Deadline(options_.timeout),
                   [&] { return word.load(std::memory_order_acquire) >= number; }))
      return;
    throw TimeoutError(peer, fmt::format("Rank {} did not meet rank {} within {} ms (meeting {}).",
                                         peer, rank_, options_.timeout.count(), number));
  };
  own.arrived.store(number, std::memory_order_release);
  wait_for(theirs.arrived);
  const std::size_t half = (chunks_.count() + 1) / 2;
  const std::size_t begin = rank_ < peer ? 0 : half;
  const std::size_t end = rank_ < peer ? half : chunks_.count();
  for (std::size_t chunk = begin; chunk < end; ++chunk) {
    const VectorView other = chunks_.model(peer, chunk);
    visit(chunks_.model(rank_, chunk),
          [&]<class T>(std::span<T> values) { kernels::pair_event(values, other.as<T>(), alpha); });
  }
  own.done.store(number, std::memory_order_release);
  wait_for(theirs.done);
}

Counters PairExchange::counters() const {
  const std::lock_guard lock(mutex_);
  Counters sum = counters_;
  membership_.add_to(sum);
  return sum;
}

std::size_t PairExchange::memory_bytes() const {
  std::size_t bytes = chunks_.memory_bytes();
  for (const VectorView& vector : model()) bytes -= vector.bytes();
  if (requests_) bytes += requests_->memory_bytes() + answers_->memory_bytes();
  return bytes;
}

}  // namespace gossip::engine
