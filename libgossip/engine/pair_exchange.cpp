// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <limits>
#include <new>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/engine/pair_exchange.h>
#include <libgossip/kernels/vector.h>

namespace gossip::engine {
namespace {

using transport::Activity;
using transport::Message;
using transport::MessageKind;

constexpr std::size_t kCacheLine = 64;

/// Pieces that a rank has asked for and that were not answered yet, for each event: enough to fill
/// the wire, few enough for the second half of an event to come soon.
constexpr std::size_t kWindow = 16;

/// Slots of a channel for pieces, whatever the number of peers.
constexpr int kMostSlots = 32;

/// Pieces of one event inside a host between two looks at everything else.
constexpr int kNearPieces = 4;

VectorView view_of(std::span<const std::byte> payload, Dtype dtype) {
  return {dtype, const_cast<std::byte*>(payload.data()), payload.size() / size_of(dtype)};
}

}  // namespace

/// Of the rank in whose part it lies with another one.
struct alignas(kCacheLine) PairExchange::Meeting {
  // How many meetings it came to and did its half of; read by the other rank.
  std::atomic<std::uint64_t> arrived{0};
  std::atomic<std::uint64_t> done{0};
  std::atomic<std::int64_t> events{0};  // with the other rank; see events_of()
  std::atomic<std::int64_t> most{
      std::numeric_limits<std::int64_t>::max()};  // see allow(); read by the other rank
};

PairExchange::PairExchange(transport::Group& group,
                           std::shared_ptr<const algorithm::PairAlgorithm> algorithm,
                           const std::vector<VectorView>& shapes, PairExchangeOptions options)
    : group_(group),
      options_(std::move(options)),
      rank_(group.rank()),
      pieces_(group, std::move(algorithm), shapes, options_.elapsed, options_.timeout),
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
    const transport::ChannelOptions channel{.capacity_bytes = pieces_.largest_bytes(),
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
  if (std::uncaught_exceptions() == 0) {
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

// --- the owner's side ----------------------------------------------------------------------------

void PairExchange::check() const {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

void PairExchange::open() {
  check();
  const Clock::time_point start = Clock::now();
  for (std::size_t piece = 0; piece < pieces_.count(); ++piece) pieces_.open(piece);
  is_open_ = true;
  const std::lock_guard lock(mutex_);
  counters_.wait_seconds += seconds_between(start, Clock::now());
}

void PairExchange::close() {
  is_open_ = false;
  for (std::size_t piece = 0; piece < pieces_.count(); ++piece) pieces_.close(piece);
}

void PairExchange::take_in() {
  check();
  for (std::size_t piece = 0; piece < pieces_.count(); ++piece) {
    pieces_.lock_own(piece);
    pieces_.take_in(piece);
    pieces_.unlock(rank_, piece);
  }
}

bool PairExchange::request(Rank peer) {
  Stream* stream = find(peer);
  GOSSIP_CHECK(stream != nullptr, "Rank {} cannot exchange with rank {}, which is no peer of it.",
               rank_, peer);
  int events = stream->events;
  while (events < kMostEvents && !stream->events.compare_exchange_weak(events, events + 1)) {
  }
  const bool is_new = events < kMostEvents && !stream->is_lost;
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
  if (stream->is_lost) return;
  ++stream->wanted;
  group_.background().wake();
}

void PairExchange::want_no_more() {
  for (const std::unique_ptr<Stream>& stream : streams_) stream->wanted = 0;
}

bool PairExchange::is_wanting(Rank peer) const {
  const Stream* stream = find(peer);
  return stream != nullptr && !stream->is_lost && (stream->wanted > 0 || stream->events > 0);
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

/// Whether both ranks, as far as they share memory, take part in one more event.
bool PairExchange::has_room(const Stream& stream) const {
  const std::int64_t events = events_of(stream);
  return events < meeting(rank_, stream.peer).most &&
         (!stream.is_near || events < meeting(stream.peer, rank_).most);
}

/// An event waits for room; not for ever, since what a rank waits for may wait for this event.
/// `since`: it began to.
bool PairExchange::must_wait(const Stream& stream, std::optional<Clock::time_point>& since) const {
  constexpr double kMostSeconds = 1.0;
  if (has_room(stream)) {
    since.reset();
    return false;
  }
  if (!since) since = Clock::now();
  if (seconds_between(*since, Clock::now()) < kMostSeconds) return true;
  since.reset();
  return false;
}

void PairExchange::allow(Rank peer, std::int64_t events) {
  meeting(rank_, peer).most = events_with(peer) + events;
}

bool PairExchange::is_busy(Rank peer) const {
  const Stream* stream = find(peer);
  return stream != nullptr && stream->events > 0;
}

bool PairExchange::is_lost(Rank peer) const {
  const Stream* stream = find(peer);
  return stream != nullptr && stream->is_lost;
}

void PairExchange::settle() {
  want_no_more();
  is_settling_ = true;
  for (std::size_t piece = 0; piece < pieces_.count(); ++piece) pieces_.leave(piece);
  for (const std::unique_ptr<Stream>& stream : streams_) {
    meeting(rank_, stream->peer).most = std::numeric_limits<std::int64_t>::max();
  }
  const auto is_idle = [this] {
    return std::ranges::none_of(streams_, [](const auto& stream) { return stream->events > 0; });
  };
  const Deadline deadline(options_.timeout + options_.timeout);  // the streams' own come first
  if (!wait_until(deadline, is_idle, [this] { check(); })) {
    throw TimeoutError(-1, fmt::format("Rank {}'s exchanges did not end within {} ms.", rank_,
                                       deadline.timeout().count()));
  }
  group_.barrier();
  is_settling_ = false;
  has_met_absence_ = false;
  open();
  for (std::size_t piece = 0; piece < pieces_.count(); ++piece) pieces_.take_in(piece);
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
  const std::size_t half = (pieces_.count() + 1) / 2;
  const std::size_t begin = rank_ < peer ? 0 : half;
  const std::size_t end = rank_ < peer ? half : pieces_.count();
  for (std::size_t piece = begin; piece < end; ++piece) {
    const VectorView other = pieces_.model(peer, piece);
    visit(pieces_.model(rank_, piece),
          [&]<class T>(std::span<T> values) { kernels::pair_event(values, other.as<T>(), alpha); });
  }
  own.done.store(number, std::memory_order_release);
  wait_for(theirs.done);
}

Counters PairExchange::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

std::size_t PairExchange::memory_bytes() const {
  std::size_t bytes = pieces_.memory_bytes();
  for (const VectorView& vector : model()) bytes -= vector.bytes();
  if (requests_) bytes += requests_->memory_bytes() + answers_->memory_bytes();
  return bytes;
}

// --- the communication thread's side -------------------------------------------------------------

Activity PairExchange::look() {
  bool has_moved = false;
  bool is_under_way = false;
  for (const std::unique_ptr<Stream>& stream : streams_) {
    has_moved |= advance(*stream);
    is_under_way |= stream->events > 0 || stream->request || stream->answer;
  }
  if (has_moved) return Activity::kMoved;
  return is_under_way ? Activity::kUnderWay : Activity::kIdle;
}

bool PairExchange::advance(Stream& stream) {
  start(stream);
  const std::size_t answered = stream.answered;
  bool has_moved = false;
  if (stream.is_near) {
    has_moved = advance_near(stream);
  } else {
    has_moved = serve(stream);
    has_moved |= collect(stream);
    has_moved |= ask(stream);
  }
  watch(stream, stream.answered != answered);
  if (stream.started > 0 && stream.answered >= pieces_.count()) finish(stream);
  return has_moved;
}

/// The pieces of an event follow those of the one before without a gap.
void PairExchange::start(Stream& stream) {
  if (stream.is_lost) {
    stream.events = stream.wanted = stream.started = 0;
    return;
  }
  begin_wanted(stream);
  if (stream.started == stream.events) return;
  if (must_wait(stream, stream.asked_since)) {
    if (is_settling_) stream.events = stream.started;  // nobody needs it any more
    return;
  }
  if (stream.started == 0) {
    // Ranks that start together must not go through the pieces in step: where a rank asks with a
    // piece that it is being asked for, both exchanges average less.
    stream.first = random_.below(pieces_.count());
    stream.watch.reset();
  }
  stream.started_at[static_cast<std::size_t>(stream.started++)] = step_;
}

/// Counted among the events before it is taken off, so that the owner sees it all the time.
void PairExchange::begin_wanted(Stream& stream) {
  while (stream.events < kMostEvents) {
    int wanted = stream.wanted;
    if (wanted == 0) return;
    ++stream.events;
    if (!stream.wanted.compare_exchange_strong(wanted, wanted - 1)) {
      --stream.events;
      continue;
    }
    const std::lock_guard lock(mutex_);
    ++counters_.gossip_rounds;
  }
}

/// What is started with a rank that is away does nothing, up to the end of it.
void PairExchange::note_absence(Stream& stream) {
  stream.is_void = true;
  has_met_absence_ = true;
}

void PairExchange::finish(Stream& stream) {
  if (!stream.is_void) ++events_of(stream);
  {
    const std::lock_guard lock(mutex_);
    if (stream.is_void) {
      ++counters_.skipped;
    } else {
      counters_.ages.add(step_ - stream.started_at.front());
    }
  }
  if (stream.started == 1) stream.is_void = false;
  stream.started_at.front() = stream.started_at.back();
  stream.next -= pieces_.count();
  stream.answered -= pieces_.count();
  --stream.started;
  --stream.events;
}

void PairExchange::watch(Stream& stream, bool has_moved) {
  if (has_moved || stream.started == 0) {
    stream.watch.reset();
    return;
  }
  if (!stream.watch.has_run_out(rank_, stream.peer, options_.timeout)) return;
  if (options_.on_lost_neighbor == OnLostNeighbor::kError) {
    throw TimeoutError(stream.peer,
                       fmt::format("Rank {} did not answer rank {}'s exchange within {} ms: it has "
                                   "ended, hangs, or needs a longer timeout.",
                                   stream.peer, rank_, options_.timeout.count()));
  }
  log(LogLevel::kWarning, rank_, "goes on without rank {}, which has not answered for {:.0f} s",
      stream.peer, stream.watch.seconds());
  const std::lock_guard lock(mutex_);
  ++counters_.neighbors_lost;
  counters_.mass_lost +=
      static_cast<double>(stream.next - stream.answered) / static_cast<double>(pieces_.count());
  stream.is_lost = true;
  stream.started = 0;
  stream.events = 0;
}

bool PairExchange::advance_near(Stream& stream) {
  const Rank first = std::min(rank_, stream.peer);
  const Rank second = std::max(rank_, stream.peer);
  int done = 0;
  const std::size_t end = static_cast<std::size_t>(stream.started) * pieces_.count();
  for (; stream.next < end && done < kNearPieces; ++done) {
    const std::size_t piece = (stream.first + stream.next) % pieces_.count();
    if (!pieces_.try_lock(first, piece)) break;
    if (!pieces_.try_lock(second, piece)) {
      pieces_.unlock(first, piece);
      break;
    }
    const bool is_free = pieces_.is_free(first, piece) && pieces_.is_free(second, piece);
    const bool is_done = is_free && pieces_.event(stream.peer, piece);
    pieces_.unlock(second, piece);
    pieces_.unlock(first, piece);
    if (!is_free) break;
    stream.answered = ++stream.next;
    if (!is_done) {
      note_absence(stream);
      continue;
    }
    const std::lock_guard lock(mutex_);
    counters_.bytes_averaged += pieces_.model(rank_, piece).bytes();
  }
  return done > 0;
}

/// For a message of this rank's piece, unless that takes no event now.
std::optional<std::span<std::byte>> PairExchange::slot_for(Rank peer, std::size_t piece,
                                                           transport::Channel& channel) const {
  if (!pieces_.is_free(rank_, piece)) return std::nullopt;
  Rank blocking = -1;
  return channel.try_acquire(std::span(&peer, 1), blocking);
}

bool PairExchange::ask(Stream& stream) {
  bool has_moved = false;
  // No piece twice at the same time: the second answer would count what the first one changed.
  const std::size_t window = std::min(kWindow, pieces_.count());
  const std::size_t end = static_cast<std::size_t>(stream.started) * pieces_.count();
  while (stream.next < end && stream.next - stream.answered < window) {
    const std::size_t piece = (stream.first + stream.next) % pieces_.count();
    if (!pieces_.try_lock(rank_, piece)) break;
    const auto slot = slot_for(stream.peer, piece, *requests_);
    if (!slot) {
      pieces_.unlock(rank_, piece);
      break;
    }
    const VectorView model = pieces_.model(rank_, piece);
    pieces_.write_request(piece, {model.dtype, slot->data(), model.size}, options_.is_atomic);
    pieces_.unlock(rank_, piece);
    requests_->commit({.round = static_cast<std::int64_t>(piece), .bytes = model.bytes()});
    ++stream.next;
    has_moved = true;
    const std::lock_guard lock(mutex_);
    counters_.bytes_sent += model.bytes();
  }
  return has_moved;
}

bool PairExchange::serve(Stream& stream) {
  bool has_moved = false;
  for (;;) {
    if (!stream.request) stream.request = requests_->try_next(stream.peer);
    if (!stream.request) return has_moved;
    if (stream.served % pieces_.count() == 0 && must_wait(stream, stream.served_since)) {
      return has_moved;
    }
    const auto piece = static_cast<std::size_t>(stream.request->header().round);
    if (!pieces_.try_lock(rank_, piece)) return has_moved;
    const auto slot = slot_for(stream.peer, piece, *answers_);
    if (!slot) {
      pieces_.unlock(rank_, piece);
      return has_moved;
    }
    const VectorView model = pieces_.model(rank_, piece);
    const bool is_done = pieces_.answer(piece, view_of(stream.request->payload(), model.dtype),
                                        {model.dtype, slot->data(), model.size});
    pieces_.unlock(rank_, piece);
    const std::size_t bytes = is_done ? model.bytes() : 0;
    answers_->commit({.round = stream.request->header().round,
                      .kind = is_done ? MessageKind::kData : MessageKind::kSkip,
                      .bytes = bytes});
    stream.request.reset();
    if (++stream.served % pieces_.count() == 0 && is_done) ++events_of(stream);
    has_moved = true;
    const std::lock_guard lock(mutex_);
    counters_.bytes_sent += bytes;
    counters_.bytes_received += model.bytes();
    counters_.bytes_averaged += bytes;
  }
}

bool PairExchange::collect(Stream& stream) {
  bool has_moved = false;
  for (;;) {
    if (!stream.answer) stream.answer = answers_->try_next(stream.peer);
    if (!stream.answer) return has_moved;
    const auto piece = static_cast<std::size_t>(stream.answer->header().round);
    if (!pieces_.try_lock(rank_, piece)) return has_moved;
    const std::size_t bytes = stream.answer->payload().size();
    if (stream.answer->header().kind == MessageKind::kSkip) {
      pieces_.end_request(piece);
      note_absence(stream);
    } else {
      pieces_.apply_answer(piece,
                           view_of(stream.answer->payload(), pieces_.model(rank_, piece).dtype));
    }
    pieces_.unlock(rank_, piece);
    stream.answer.reset();
    ++stream.answered;
    has_moved = true;
    const std::lock_guard lock(mutex_);
    counters_.bytes_received += bytes;
    counters_.bytes_averaged += bytes;
    // Late, but not lost: both halves of the piece have happened.
    if (stream.is_lost) counters_.mass_lost -= 1.0 / static_cast<double>(pieces_.count());
  }
}

}  // namespace gossip::engine
