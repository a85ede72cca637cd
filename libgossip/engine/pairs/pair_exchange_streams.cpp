// SPDX-License-Identifier: Apache-2.0
// How the communication thread carries exchanges on; pair_exchange.cpp has their owner's side.
#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/engine/pairs/pair_exchange.h>

namespace gossip::engine {
namespace {

using transport::Activity;
using transport::MessageKind;

/// Chunks of one event inside a host in one poll, so that everything else has its turn.
constexpr int kMostChunks = 4;

VectorView view_of(std::span<const std::byte> payload, Dtype dtype) {
  return {dtype, const_cast<std::byte*>(payload.data()), payload.size() / size_of(dtype)};
}

/// A message says with its round which chunk it belongs to.
transport::Header header_of(std::size_t chunk, std::size_t bytes,
                            MessageKind kind = MessageKind::kData) {
  return {.kind = kind, .round = static_cast<std::int64_t>(chunk), .bytes = bytes};
}

std::size_t chunk_of(const transport::Message& message) {
  return static_cast<std::size_t>(message.header().round);
}

}  // namespace

/// Whether both ranks, as far as they share memory, take part in one more event.
bool PairExchange::has_credit(const Stream& stream) const {
  const std::int64_t events = events_of(stream);
  return events < ledger(rank_, stream.peer).limit &&
         (!stream.shares_memory || events < ledger(stream.peer, rank_).limit);
}

/// An event waits for credit; not for ever, since what a rank waits for may wait for this event.
/// `since`: it began to.
bool PairExchange::must_wait(const Stream& stream,
                             std::optional<RunningClock::time_point>& since) const {
  constexpr double kMostSeconds = 1.0;
  if (has_credit(stream)) {
    since.reset();
    return false;
  }
  if (!since) since = RunningClock::now();
  if (seconds_between(*since, RunningClock::now()) < kMostSeconds) return true;
  since.reset();
  return false;
}

Activity PairExchange::poll() {
  bool has_moved = false;
  bool is_in_flight = false;
  for (const std::unique_ptr<Stream>& stream : streams_) {
    has_moved |= advance(*stream);
    is_in_flight |= stream->pending > 0 || stream->request || stream->answer;
  }
  if (has_moved) return Activity::kMoved;
  return is_in_flight ? Activity::kUnderWay : Activity::kIdle;
}

bool PairExchange::advance(Stream& stream) {
  start(stream);
  const std::size_t answered = stream.answered;
  bool has_moved = false;
  if (stream.shares_memory) {
    has_moved = advance_in_memory(stream);
  } else {
    has_moved = serve(stream);
    has_moved |= collect(stream);
    has_moved |= ask(stream);
  }
  watch(stream, stream.answered != answered);
  if (stream.started > 0 && stream.answered >= chunks_.count()) finish(stream);
  return has_moved;
}

/// The chunks of an event follow those of the one before without a gap.
void PairExchange::start(Stream& stream) {
  if (membership_.is_lost(stream.peer)) {
    give_up(stream);
    return;
  }
  begin_queued(stream);
  if (stream.started == stream.pending) return;
  if (must_wait(stream, stream.asked_since)) {
    if (is_draining_) stream.pending = stream.started;  // nobody needs it any more
    return;
  }
  if (stream.started == 0) {
    // Ranks that start together must not go through the chunks in step: where a rank asks with a
    // chunk that it is being asked for, both exchanges average less.
    stream.first = random_.below(chunks_.count());
    membership_.note_progress(stream.peer);
  }
  stream.started_at[static_cast<std::size_t>(stream.started++)] = step_;
}

/// The peer is lost: what was in flight is so, too, unless an answer comes later; see collect().
void PairExchange::give_up(Stream& stream) {
  stream.pending = stream.queued = stream.started = 0;
  if (std::exchange(stream.is_given_up, true)) return;
  const std::lock_guard lock(mutex_);
  counters_.mass_lost +=
      static_cast<double>(stream.next - stream.answered) / static_cast<double>(chunks_.count());
}

/// Counted among the pending events before it is taken off, so that the owner sees it all the time.
void PairExchange::begin_queued(Stream& stream) {
  while (stream.pending < kMostPending) {
    int queued = stream.queued;
    if (queued == 0) return;
    ++stream.pending;
    if (!stream.queued.compare_exchange_strong(queued, queued - 1)) {
      --stream.pending;
      continue;
    }
    const std::lock_guard lock(mutex_);
    ++counters_.gossip_rounds;
  }
}

/// What is started with a rank that is paused does nothing, up to the end of it.
void PairExchange::note_paused(Stream& stream) {
  stream.has_met_paused = true;
  has_met_paused_ = true;
}

void PairExchange::finish(Stream& stream) {
  if (!stream.has_met_paused) ++events_of(stream);
  {
    const std::lock_guard lock(mutex_);
    if (stream.has_met_paused) {
      ++counters_.skipped;
    } else {
      counters_.ages.add(step_ - stream.started_at.front());
    }
  }
  if (stream.started == 1) stream.has_met_paused = false;
  stream.started_at.front() = stream.started_at.back();
  stream.next -= chunks_.count();
  stream.answered -= chunks_.count();
  --stream.started;
  --stream.pending;
}

/// A peer that is lost by this is given up by the next start().
void PairExchange::watch(const Stream& stream, bool has_moved) {
  if (has_moved || stream.started == 0) {
    membership_.note_progress(stream.peer);
  } else if (membership_.is_overdue(stream.peer)) {
    membership_.lose(stream.peer, "answer an exchange");
  }
}

bool PairExchange::advance_in_memory(Stream& stream) {
  int done = 0;
  const std::size_t end = static_cast<std::size_t>(stream.started) * chunks_.count();
  for (; stream.next < end && done < kMostChunks; ++done) {
    const std::size_t chunk = (stream.first + stream.next) % chunks_.count();
    const PairChunks::Event event = chunks_.try_event(stream.peer, chunk);
    if (event == PairChunks::Event::kBusy) break;
    stream.answered = ++stream.next;
    if (event == PairChunks::Event::kPaused) {
      note_paused(stream);
      continue;
    }
    const std::lock_guard lock(mutex_);
    counters_.bytes_averaged += chunks_.model(rank_, chunk).bytes();
  }
  return done > 0;
}

/// For a message of this rank's chunk, unless that takes no event now.
std::optional<std::span<std::byte>> PairExchange::slot_for(Rank peer, std::size_t chunk,
                                                           transport::Channel& channel) const {
  if (!chunks_.is_free(chunk)) return std::nullopt;
  Rank blocking = -1;
  return channel.try_acquire(std::span(&peer, 1), blocking);
}

bool PairExchange::ask(Stream& stream) {
  bool has_moved = false;
  // No chunk twice at the same time: the second answer would count what the first one changed.
  const std::size_t window = std::min(kWindow, chunks_.count());
  const std::size_t end = static_cast<std::size_t>(stream.started) * chunks_.count();
  while (stream.next < end && stream.next - stream.answered < window) {
    const std::size_t chunk = (stream.first + stream.next) % chunks_.count();
    if (!chunks_.try_lock(chunk)) break;
    const auto slot = slot_for(stream.peer, chunk, *requests_);
    if (!slot) {
      chunks_.unlock(chunk);
      break;
    }
    const VectorView model = chunks_.model(rank_, chunk);
    chunks_.write_request(chunk, {model.dtype, slot->data(), model.size}, options_.is_atomic);
    chunks_.unlock(chunk);
    requests_->commit(header_of(chunk, model.bytes()));
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
    if (stream.served % chunks_.count() == 0 && must_wait(stream, stream.served_since)) {
      return has_moved;
    }
    const std::size_t chunk = chunk_of(*stream.request);
    if (!chunks_.try_lock(chunk)) return has_moved;
    const auto slot = slot_for(stream.peer, chunk, *answers_);
    if (!slot) {
      chunks_.unlock(chunk);
      return has_moved;
    }
    const VectorView model = chunks_.model(rank_, chunk);
    const bool is_done = chunks_.answer(chunk, view_of(stream.request->payload(), model.dtype),
                                        {model.dtype, slot->data(), model.size});
    chunks_.unlock(chunk);
    const std::size_t bytes = is_done ? model.bytes() : 0;
    answers_->commit(header_of(chunk, bytes, is_done ? MessageKind::kData : MessageKind::kSkip));
    stream.request.reset();
    if (++stream.served % chunks_.count() == 0 && is_done) ++events_of(stream);
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
    const std::size_t chunk = chunk_of(*stream.answer);
    if (!chunks_.try_lock(chunk)) return has_moved;
    const std::size_t bytes = stream.answer->payload().size();
    if (stream.answer->header().kind == MessageKind::kSkip) {
      chunks_.end_request(chunk);
      note_paused(stream);
    } else {
      chunks_.apply_answer(chunk,
                           view_of(stream.answer->payload(), chunks_.model(rank_, chunk).dtype));
    }
    chunks_.unlock(chunk);
    stream.answer.reset();
    ++stream.answered;
    has_moved = true;
    const std::lock_guard lock(mutex_);
    counters_.bytes_received += bytes;
    counters_.bytes_averaged += bytes;
    // Late, but not lost: both halves of the chunk have happened.
    if (stream.is_given_up) counters_.mass_lost -= 1.0 / static_cast<double>(chunks_.count());
  }
}

}  // namespace gossip::engine
