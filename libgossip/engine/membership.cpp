// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <iterator>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/engine/membership.h>

namespace gossip::engine {
namespace {

using transport::Activity;

/// A neighbor that a method waits for longer is named.
constexpr double kWarningSeconds = 5.0;

std::vector<Rank> all_but(Rank self, int size) {
  std::vector<Rank> ranks(static_cast<std::size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  std::erase(ranks, self);
  return ranks;
}

/// The neighbors, and the ranks 1, 2, 4, ... before and after: from any rank to any other it takes
/// at most half as many reports as the number of ranks has bits.
std::vector<Rank> with_shortcuts(std::vector<Rank> neighbors, Rank self, int size) {
  for (int distance = 1; distance < size; distance *= 2) {
    neighbors.push_back((self + distance) % size);
    neighbors.push_back((self - distance + size) % size);
  }
  std::ranges::sort(neighbors);
  const auto repeated = std::ranges::unique(neighbors);
  neighbors.erase(repeated.begin(), repeated.end());
  std::erase(neighbors, self);
  return neighbors;
}

/// The neighbors that reports go to: between hosts each takes memory and messages, so that where
/// any rank has more than this many, news travels by the shortcuts alone. Collective.
std::vector<Rank> reported_to(transport::Group& group,
                              const std::optional<std::vector<Rank>>& neighbors,
                              const MembershipOptions& options) {
  constexpr std::int64_t kMostNeighbors = 64;
  std::vector<Rank> result = neighbors.value_or(std::vector<Rank>());
  const auto most = group.all_reduce(std::ssize(result), transport::Reduction::kMax);
  if (most > kMostNeighbors && !options.counts_messages) result.clear();
  return result;
}

/// The entry of `rank` in a list in the order of the ranks; null if there is none.
template <class Entries, class Field>
auto* find_by_rank(Entries& entries, Field rank_of, Rank rank) {
  const auto entry = std::ranges::lower_bound(entries, rank, {}, rank_of);
  return entry == entries.end() || std::invoke(rank_of, *entry) != rank ? nullptr : &*entry;
}

}  // namespace

Membership::Membership(transport::Group& group, std::optional<std::vector<Rank>> neighbors,
                       const MembershipOptions& options)
    : group_(group),
      rank_(group.rank()),
      options_(options),
      awaited_(neighbors ? *neighbors : all_but(rank_, group.size())),
      peer_ranks_(with_shortcuts(reported_to(group, neighbors, options), rank_, group.size())),
      interval_(transport::report_interval(group.size())),
      incarnation_(std::random_device()()),
      is_lost_(static_cast<std::size_t>(group.size())),
      progress_(group.size()),
      reported_(group.size()),
      step_began_(RunningClock::now()),
      next_report_(Clock::now()) {
  for (const Rank peer : peer_ranks_) peers_.push_back({.rank = peer});
  if (neighbors) std::ranges::sort(*neighbors);
  for (const Rank neighbor : neighbors.value_or(std::vector<Rank>())) {
    edges_.push_back({.neighbor = neighbor});
    neighbors_.push_back(
        {.rank = neighbor, .silence = policy::Silence(step_began_), .progress_at = step_began_});
  }
  if (group.size() == 1) return;
  // The most that any rank may have to say, so that all ask for the same memory.
  const auto most_peers = static_cast<std::size_t>(group.size());
  // A reader holds a slot for a moment only; more slots than two keep writers from waiting for it.
  channel_ =
      group.make_channel({.capacity_bytes = transport::most_report_bytes(group.size(), most_peers),
                          .slots = 4,
                          .reading = transport::Reading::kLatest,
                          .peers = peer_ranks_});
  // Membership that cannot go on only stops spreading news: the methods' own channels say why.
  work_ = group.background().add([this] { return poll(); }, [](const std::exception_ptr&) {});
}

Membership::~Membership() { work_.reset(); }

// --- progress ------------------------------------------------------------------------------------

void Membership::set_steps(std::int64_t steps) {
  const std::lock_guard lock(mutex_);
  progress_.steps[self()] = steps;
  step_began_ = RunningClock::now();
}

/// The others are back, too, before they report new numbers.
void Membership::restart(std::int64_t steps) {
  const std::lock_guard lock(mutex_);
  const std::int64_t own = joint_turns(self());
  for (std::size_t rank = 0; rank < progress_.steps.size(); ++rank) {
    if (rank == self()) continue;
    std::int64_t& turns = progress_.turns[rank];
    turns = std::max(turns, own + own % 2 + progress_.turns_alone[rank]);
    progress_.steps[rank] = 0;
  }
  progress_.steps[self()] = steps;
}

std::int64_t Membership::steps_of(Rank rank) const {
  const std::lock_guard lock(mutex_);
  return progress_.steps[static_cast<std::size_t>(rank)];
}

std::int64_t Membership::job_steps() const {
  const std::lock_guard lock(mutex_);
  return std::reduce(progress_.steps.begin(), progress_.steps.end(), std::int64_t{0});
}

void Membership::set_taken(Rank peer, std::int64_t count) {
  const std::lock_guard lock(mutex_);
  transport::ReportedEdge* edge = find_by_rank(edges_, &transport::ReportedEdge::neighbor, peer);
  GOSSIP_ASSERT(edge != nullptr, "rank {} is no neighbor of rank {}", peer, rank_);
  edge->taken = count;
}

std::int64_t Membership::taken_by(Rank peer) const {
  const std::lock_guard lock(mutex_);
  const Peer* known = find_by_rank(peers_, &Peer::rank, peer);
  return known == nullptr ? 0 : known->taken;
}

// --- the training loop ---------------------------------------------------------------------------

/// Turns that all ranks take alike: odd while the rank is away.
std::int64_t Membership::joint_turns(std::size_t rank) const {
  return progress_.turns[rank] - progress_.turns_alone[rank];
}

void Membership::leave() {
  const std::lock_guard lock(mutex_);
  if (has_left(self())) return;
  ++progress_.turns[self()];
  report_now();
}

void Membership::come_back() {
  const std::lock_guard lock(mutex_);
  if (!has_left(self())) return;
  ++progress_.turns[self()];
  report_now();
}

void Membership::come_back_alone() {
  const std::lock_guard lock(mutex_);
  if (!has_left(self())) return;
  ++progress_.turns[self()];
  progress_.turns_alone[self()] += 2;
  report_now();
}

bool Membership::has_left() const {
  const std::lock_guard lock(mutex_);
  return has_left(self());
}

void Membership::check_all_train(std::int64_t step) {
  const std::lock_guard lock(mutex_);
  if (!channel_) return;
  read_reports();  // those of peers, as they are now
  for (const Rank rank : awaited_) {
    if (is_lost(rank)) continue;  // nobody waits for it
    const auto other = static_cast<std::size_t>(rank);
    const bool is_for_later = joint_turns(other) > joint_turns(self());
    GOSSIP_CHECK(
        !has_left(other) || !is_for_later || progress_.steps[other] > step,
        "Rank {} left the training loop after {} steps (it ran out of batches, or evaluates), "
        "while rank {} waits for it in step {}: give every rank the same number of steps, as "
        "train::Shard does.",
        rank, progress_.steps[other], rank_, step + 1);
  }
}

/// Ranks leave together: one with fewer turns than this rank comes back with it.
void Membership::find_who_left() {
  bool has_anyone = false;
  for (std::size_t rank = 0; rank < progress_.turns.size(); ++rank) {
    has_anyone |= has_left(rank) && joint_turns(rank) > joint_turns(self());
  }
  has_anyone_left_ = has_anyone;
}

// --- life and loss -------------------------------------------------------------------------------

Membership::Neighbor* Membership::find(Rank rank) {
  return find_by_rank(neighbors_, &Neighbor::rank, rank);
}

MemberState Membership::state_of(Rank rank) const {
  if (is_lost(rank)) return MemberState::kLost;
  const std::lock_guard lock(mutex_);
  if (has_left(static_cast<std::size_t>(rank))) return MemberState::kLeft;
  const Neighbor* neighbor = find_by_rank(neighbors_, &Neighbor::rank, rank);
  const bool is_suspect = neighbor != nullptr && neighbor->is_suspect;
  return is_suspect ? MemberState::kSuspect : MemberState::kAlive;
}

void Membership::note_progress(Rank peer) {
  const std::lock_guard lock(mutex_);
  Neighbor* neighbor = find(peer);
  if (neighbor == nullptr) return;
  neighbor->progress_at = RunningClock::now();
  neighbor->has_warned = false;
}

bool Membership::is_overdue(Rank peer) {
  const std::lock_guard lock(mutex_);
  Neighbor* neighbor = find(peer);
  if (neighbor == nullptr) return false;
  const double waited = seconds_between(neighbor->progress_at, RunningClock::now());
  const double limit = std::chrono::duration<double>(options_.timeout).count();
  if (waited > limit) return true;
  if (waited > kWarningSeconds && !neighbor->has_warned) {
    neighbor->has_warned = true;
    log(LogLevel::kWarning, rank_, "rank {} has not answered for {:.0f} s (limit {:.0f} s)", peer,
        waited, limit);
  }
  return false;
}

void Membership::lose(Rank peer, std::string_view what, std::optional<double> seconds) {
  const std::lock_guard lock(mutex_);
  if (is_lost(peer)) return;
  Neighbor* neighbor = find(peer);
  GOSSIP_ASSERT(neighbor != nullptr, "rank {} is no neighbor of rank {}", peer, rank_);
  const double waited =
      seconds.value_or(seconds_between(neighbor->progress_at, RunningClock::now()));
  const std::string why = fmt::format("did not {} for {:.1f} s", what, waited);
  if (!may_drop()) {
    throw TimeoutError(peer, fmt::format("Rank {} {} (rank {} waited): it has ended, hangs, or "
                                         "needs a longer timeout.",
                                         peer, why, rank_));
  }
  give_up(*neighbor, why);
  ++epoch_;
}

/// The neighbor learns of it with the next report, and gives this rank up, too: so both ends of an
/// edge stop to use it.
void Membership::give_up(Neighbor& neighbor, std::string_view why) {
  const Rank rank = neighbor.rank;
  if (is_lost(rank)) return;
  log(LogLevel::kWarning, rank_, "goes on without rank {}, which {}", rank, why);
  is_lost_[static_cast<std::size_t>(rank)] = true;
  find_by_rank(edges_, &transport::ReportedEdge::neighbor, rank)->is_given_up = true;
  ++neighbors_lost_;
}

/// Of who has left nothing is expected, nor of who does not report to this rank.
void Membership::judge(Neighbor& neighbor) {
  const RunningClock::time_point now = RunningClock::now();
  const bool is_heard = std::ranges::binary_search(peer_ranks_, neighbor.rank);
  if (is_lost(neighbor.rank) || !is_heard) return;
  if (has_left(static_cast<std::size_t>(neighbor.rank))) neighbor.silence.restart(now);
  const double silent = neighbor.silence.seconds(now);
  if (!neighbor.is_suspect && neighbor.silence.is_suspicious(now)) {
    neighbor.is_suspect = true;
    ++suspected_;
    log(LogLevel::kInfo, rank_, "rank {} has given no sign of life for {:.1f} s", neighbor.rank,
        silent);
  }
  const bool is_given_up = std::chrono::duration<double>(silent) > options_.timeout;
  if (neighbor.is_suspect && is_given_up && may_drop()) {
    give_up(neighbor, fmt::format("gave no sign of life for {:.1f} s", silent));
    ++epoch_;
  }
}

void Membership::revive(Neighbor& neighbor) {
  const RunningClock::time_point now = RunningClock::now();
  if (neighbor.is_suspect) {
    const double silent = neighbor.silence.seconds(now);
    neighbor.is_suspect = false;
    if (silent < 2.0 * neighbor.silence.limit_seconds()) ++false_suspicions_;
    log(LogLevel::kInfo, rank_, "rank {} is back after {:.1f} s", neighbor.rank, silent);
  }
  neighbor.silence.hear(now);
}

// --- reports -------------------------------------------------------------------------------------

transport::Header Membership::header() const {
  const std::lock_guard lock(mutex_);
  return header_now();
}

transport::Header Membership::header_now() const {
  constexpr double kMilliseconds = 1000.0;
  const double in_step = seconds_between(step_began_, RunningClock::now()) * kMilliseconds;
  constexpr double kMost = std::numeric_limits<std::uint32_t>::max();
  return {.step = progress_.steps[self()],
          .beat = beat_,
          .epoch = epoch_,
          .incarnation = incarnation_,
          .in_step_ms = static_cast<std::uint32_t>(std::min(in_step, kMost)),
          .state = static_cast<std::uint8_t>(has_left(self()) ? MemberState::kLeft
                                                              : MemberState::kAlive)};
}

void Membership::hear(Rank from, const transport::Header& header) {
  const std::lock_guard lock(mutex_);
  epoch_ = std::max(epoch_.load(), header.epoch);
  if (Neighbor* neighbor = find(from)) revive(*neighbor);
}

Activity Membership::poll() {
  const std::lock_guard lock(mutex_);
  if (Clock::now() < next_report_) return Activity::kResting;
  next_report_ = Clock::now() + interval_;
  read_reports();
  for (Neighbor& neighbor : neighbors_) judge(neighbor);
  return report() ? Activity::kMoved : Activity::kIdle;
}

void Membership::read_reports() {
  for (Peer& peer : peers_) {
    const auto report = channel_->latest(peer.rank);
    if (report && report->header().sequence != peer.sequence) read(peer, *report);
  }
  find_who_left();
}

/// A report that cannot be read is no sign of life.
void Membership::read(Peer& peer, const transport::Message& report) {
  peer.sequence = report.header().sequence;
  const auto payload = report.payload().first(report.header().bytes);
  const auto said = transport::read_report(payload, rank_, reported_);
  if (!said) return;
  peer.taken = said->taken;
  epoch_ = std::max(epoch_.load(), report.header().epoch);
  merge();
  Neighbor* neighbor = find(peer.rank);
  if (neighbor == nullptr) return;
  revive(*neighbor);
  if (said->is_given_up && may_drop()) give_up(*neighbor, "has given this rank up");
}

/// Turns never fall; steps do not between two turns.
void Membership::merge() {
  for (std::size_t rank = 0; rank < progress_.steps.size(); ++rank) {
    const std::pair known(progress_.turns[rank], progress_.steps[rank]);
    const std::pair reported(reported_.turns[rank], reported_.steps[rank]);
    if (reported <= known || rank == self()) continue;
    std::tie(progress_.turns[rank], progress_.steps[rank]) = reported;
    progress_.turns_alone[rank] = reported_.turns_alone[rank];
  }
}

/// False when no memory is free at the moment.
bool Membership::report() {
  Rank blocking = -1;
  const auto slot = channel_->try_acquire(peer_ranks_, blocking);
  if (!slot) return false;
  ++beat_;
  transport::Header header = header_now();
  header.bytes = transport::write_report(progress_, edges_, *slot);
  channel_->commit(header);
  return true;
}

/// That this rank leaves or comes back is not to wait for the next report.
void Membership::report_now() {
  find_who_left();
  if (channel_ && !report()) next_report_ = Clock::now();
}

void Membership::add_to(Counters& counters) const {
  const std::lock_guard lock(mutex_);
  counters.neighbors_lost += neighbors_lost_;
  counters.suspected += suspected_;
  counters.false_suspicions += false_suspicions_;
}

}  // namespace gossip::engine
