// SPDX-License-Identifier: Apache-2.0
// The owner's side; pair_exchange_streams.cpp has the communication thread's.
#include <algorithm>
#include <functional>
#include <new>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/base/notice.h>
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
      averages_(static_cast<std::size_t>(group.size()), 0),
      random_(SplitMix64::at(0, static_cast<std::uint64_t>(rank_))) {
  ledgers_ = group.make_region(static_cast<std::size_t>(group.size()) * sizeof(Ledger));
  for (Rank other = 0; other < group.size(); ++other) new (&ledger(rank_, other)) Ledger;
  std::vector<Rank> elsewhere;
  for (const Rank peer : options_.peers) {
    streams_.push_back(std::make_unique<Stream>(peer, group.shares_memory_with(peer)));
    if (!streams_.back()->shares_memory) elsewhere.push_back(peer);
  }
  if (!transport::is_one_host(group)) {
    const int slots = std::clamp(static_cast<int>(elsewhere.size() * kWindow), 1, kMostSlots);
    const transport::ChannelOptions channel{.capacity_bytes = chunks_.largest_bytes(),
                                            .slots = slots,
                                            .timeout = options_.timeout,
                                            .receive_slots = slots,
                                            .has_rounds = false,
                                            .peers = elsewhere,
                                            .only_between_hosts = true};
    requests_ = group.make_channel(channel);
    answers_ = group.make_channel(channel);
  }
  group.barrier();
  if (streams_.empty()) return;
  work_ = group.background().add([this] { return poll(); },
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

PairExchange::Stream& PairExchange::stream_to(Rank peer) const {
  const auto stream = std::ranges::find_if(
      streams_, [&](const std::unique_ptr<Stream>& candidate) { return candidate->peer == peer; });
  GOSSIP_CHECK(stream != streams_.end(),
               "Rank {} cannot exchange with rank {}, which is no peer of it.", rank_, peer);
  return **stream;
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
  Stream& stream = stream_to(peer);
  int pending = stream.pending;
  while (pending < kMostPending && !stream.pending.compare_exchange_weak(pending, pending + 1)) {
  }
  const bool is_new = pending < kMostPending && !membership_.is_lost(peer);
  {
    const std::lock_guard lock(mutex_);
    ++(is_new ? counters_.gossip_rounds : counters_.skipped);
  }
  if (is_new) group_.background().wake();
  return is_new;
}

void PairExchange::enqueue(Rank peer) {
  Stream& stream = stream_to(peer);
  if (membership_.is_lost(peer)) return;
  ++stream.queued;
  group_.background().wake();
}

void PairExchange::cancel_queued() {
  for (const std::unique_ptr<Stream>& stream : streams_) stream->queued = 0;
}

/// In this order: begin_queued() counts an event among the pending ones first.
bool PairExchange::is_pending(Rank peer) const {
  const Stream& stream = stream_to(peer);
  return !membership_.is_lost(peer) && (stream.queued > 0 || stream.pending > 0);
}

PairExchange::Ledger& PairExchange::ledger(Rank of, Rank with) const {
  return reinterpret_cast<Ledger*>(ledgers_->of(of).data())[with];
}

/// Two ranks that share memory have one number together.
std::atomic<std::int64_t>& PairExchange::events_of(const Stream& stream) const {
  const Rank of = stream.shares_memory ? std::min(rank_, stream.peer) : rank_;
  const Rank with = stream.shares_memory ? std::max(rank_, stream.peer) : stream.peer;
  return ledger(of, with).events;
}

std::int64_t PairExchange::events_with(Rank peer) const { return events_of(stream_to(peer)); }

void PairExchange::set_credit(Rank peer, std::int64_t events) {
  ledger(rank_, peer).limit = events_with(peer) + events;
}

std::string PairExchange::pending_peers() const {
  std::vector<Rank> peers;
  for (const std::unique_ptr<Stream>& stream : streams_) {
    if (stream->pending > 0) peers.push_back(stream->peer);
  }
  return fmt::format("{}", fmt::join(peers, ", "));
}

void PairExchange::wait_until_idle() const {
  const auto is_idle = [this] {
    return std::ranges::none_of(streams_, [](const auto& stream) { return stream->pending > 0; });
  };
  const Deadline deadline(twice(options_.timeout));  // the streams' own come first
  Notice notice(rank_, deadline);
  const auto while_waiting = [&] {
    check();
    notice.look([&] { return fmt::format("exchanges with ranks {} to end", pending_peers()); });
  };
  if (wait_until(deadline, is_idle, std::cref(while_waiting))) return;
  throw TimeoutError(-1, fmt::format("Rank {}'s exchanges with ranks {} did not end within {} ms.",
                                     rank_, pending_peers(), deadline.timeout().count()));
}

void PairExchange::drain() {
  cancel_queued();
  is_draining_ = true;
  for (std::size_t chunk = 0; chunk < chunks_.count(); ++chunk) chunks_.pause(chunk);
  for (const std::unique_ptr<Stream>& stream : streams_) {
    ledger(rank_, stream->peer).limit = std::numeric_limits<std::int64_t>::max();
  }
  wait_until_idle();
  const auto take_over = [this] {
    is_draining_ = false;
    has_met_paused_ = false;
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

void PairExchange::wait_for(Rank peer, const std::atomic<std::uint64_t>& count,
                            std::uint64_t number) const {
  const Deadline deadline(options_.timeout);
  Notice notice(rank_, deadline);
  const auto has_come = [&] { return count.load(std::memory_order_acquire) >= number; };
  const auto while_waiting = [&] {
    notice.look([&] { return fmt::format("rank {} to average with", peer); });
  };
  if (wait_until(deadline, has_come, std::cref(while_waiting))) return;
  throw TimeoutError(peer, fmt::format("Rank {} did not come to average with rank {} within {} ms "
                                       "(average {} of the two).",
                                       peer, rank_, options_.timeout.count(), number));
}

void PairExchange::average_with(Rank peer, double alpha) {
  GOSSIP_CHECK(
      peer >= 0 && peer < group_.size() && peer != rank_ && group_.shares_memory_with(peer),
      "Rank {} cannot average with rank {}: a peer is another rank of the same host.", rank_, peer);
  GOSSIP_ASSERT(is_open_, "rank {} averaged with rank {} while its exchange was closed", rank_,
                peer);
  const std::uint64_t number = ++averages_[static_cast<std::size_t>(peer)];
  Ledger& own = ledger(rank_, peer);
  const Ledger& theirs = ledger(peer, rank_);
  own.arrived.store(number, std::memory_order_release);
  wait_for(peer, theirs.arrived, number);
  const std::size_t half = (chunks_.count() + 1) / 2;
  const std::size_t begin = rank_ < peer ? 0 : half;
  const std::size_t end = rank_ < peer ? half : chunks_.count();
  for (std::size_t chunk = begin; chunk < end; ++chunk) {
    const VectorView other = chunks_.model(peer, chunk);
    visit(chunks_.model(rank_, chunk),
          [&]<class T>(std::span<T> values) { kernels::pair_event(values, other.as<T>(), alpha); });
  }
  own.done.store(number, std::memory_order_release);
  wait_for(peer, theirs.done, number);
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
