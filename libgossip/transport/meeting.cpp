// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <exception>
#include <functional>
#include <span>
#include <utility>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/base/notice.h>
#include <libgossip/transport/meeting.h>

namespace gossip::transport {
namespace {

constexpr std::size_t kMostNamed = 8;

/// In larger groups nobody tells all others that it waits.
constexpr int kMostInWait = 256;

/// So long rank 0 is given to answer that a rank is gone: a quarter of the timeout, within these.
constexpr std::chrono::milliseconds kShortestAnswer{100};
constexpr std::chrono::milliseconds kLongestAnswer{1000};

/// Before the sentence about it.
std::string text_of(const Place& place, std::string_view sentence) {
  return fmt::format("{}\n{}\n{}", place.call, place.what, sentence);
}

/// Whether a rank that has come to `own` is not late for what was given up at `lost`. The same call
/// after more steps is a later one, even where the steps of ranks need not agree.
bool is_other(const Place& own, const Place& lost) {
  return !difference(0, own, 0, lost).empty() || own.step > lost.step;
}

}  // namespace

Place Place::here(std::string_view what) {
  return {.call = std::string(CollectiveCall::name()),
          .what = std::string(what),
          .step = CollectiveCall::step(),
          .is_in_step = CollectiveCall::is_in_step()};
}

std::string describe(const Place& place) {
  std::string text = place.call.empty() ? place.what : place.call;
  if (place.step != CollectiveCall::kNoStep) {
    text += fmt::format(" after {} step{}", place.step, place.step == 1 ? "" : "s");
  }
  return text;
}

std::string difference(Rank first, const Place& at, Rank other, const Place& there) {
  const bool are_same = at.call == there.call;
  const bool are_in_step = !at.is_in_step || !there.is_in_step || at.step == there.step;
  if (are_same && are_in_step && at.what == there.what) return {};
  std::string here = describe(at);
  std::string elsewhere = describe(there);
  if (are_same && are_in_step && !at.call.empty()) {
    if (!at.what.empty()) here += fmt::format(" ({})", at.what);
    if (!there.what.empty()) elsewhere += fmt::format(" ({})", there.what);
  }
  return fmt::format(
      "The ranks are in different collective calls: rank {} is in {}, rank {} in {}. All ranks "
      "make the same collective calls in the same order.",
      first, here, other, elsewhere);
}

Meeting::Meeting(mpi::Communicator communicator)
    : mailbox_(std::move(communicator)),
      incomplete_(static_cast<std::size_t>(size())),
      waits_(static_cast<std::size_t>(size())) {}

Meeting::~Meeting() {
  try {
    if (is_clean_) mailbox_.note_finished();
  } catch (const std::exception& error) {
    log(LogLevel::kError, rank(), "the last message of a group: {}", error.what());
  }
}

bool Meeting::meet(const Place& place, const Patience& patience) {
  ++number_;
  if (size() == 1) return place.asks;
  try {
    come(place);
    return rank() == 0 ? lead(place, patience) : follow(place, patience);
  } catch (...) {
    is_clean_ = false;
    throw;
  }
}

/// To the meeting of this number; what is known of earlier ones is over.
void Meeting::come(const Place& place) {
  if (rank() == 0) {
    attendances_.erase(attendances_.begin(), attendances_.lower_bound(number_));
    attendances(number_)[0] = {.is_here = true, .place = place};
    return;
  }
  verdicts_.erase(verdicts_.begin(), verdicts_.lower_bound(number_));
  missing_ = who({0});
  missing_rank_ = 0;
  Part here = part_about(place, Kind::kHere);
  here.asks = place.asks ? 1 : 0;
  send(here, text_of(place, {}), 0);
}

/// Rank 0's part.
bool Meeting::lead(const Place& place, const Patience& patience) {
  const Deadline deadline(patience.timeout);
  Notice notice(rank(), deadline);
  const auto while_waiting = [&] {
    tell_for_whom();
    notice.look([&] { return for_whom(place); });
    if (patience.while_waiting) patience.while_waiting();
  };
  const auto are_here = [&] {
    look();
    lead_past_lost(place);
    return are_all_here(place);
  };
  try {
    if (!are_here()) {
      tell_for_whom();
      if (!wait_until(deadline, are_here, std::cref(while_waiting))) {
        tell_for_whom();
        give_up(place, deadline.elapsed_seconds());
      }
    }
  } catch (const JointError& error) {
    tell_others({.meeting = number_, .kind = Kind::kDiffer}, error.what());
    throw;
  } catch (const TimeoutError& error) {
    tell_lost(latest(place), error.peer(), error.what());
    throw;
  } catch (const std::exception& error) {
    tell_lost(latest(place), 0, stopped(place, error));
    throw;
  }
  const bool asks = std::ranges::any_of(attendances(number_),
                                        [](const Attendance& other) { return other.place.asks; });
  tell_others(
      {.meeting = number_, .kind = Kind::kGo, .asks = asks ? std::uint16_t{1} : std::uint16_t{0}},
      {});
  return asks;
}

/// `place`, after as many steps as the ranks that have come have made at most.
Place Meeting::latest(Place place) {
  for (const Attendance& other : attendances(number_)) {
    place.step = std::max(place.step, other.place.step);
  }
  return place;
}

/// Goes on to the first meeting that no rank had given up before, in another call than this.
void Meeting::lead_past_lost(const Place& place) {
  const auto is_lost = [&](const Attendance& other) {
    return !other.why_gone.empty() && !other.is_with_first && is_other(place, other.place);
  };
  while (true) {
    const std::vector<Attendance>& all = attendances(number_);
    const auto gone = std::ranges::find_if(all, is_lost);
    if (gone == all.end()) return;
    tell_lost(gone->place, gone->peer, gone->why_gone);
    is_clean_ = false;
    ++number_;
    come(place);
  }
}

/// Throws when they cannot meet any more.
bool Meeting::are_all_here(const Place& place) {
  bool are_here = true;
  std::vector<Attendance>& all = attendances(number_);
  for (Rank other = 1; other < size(); ++other) {
    Attendance& attendance = all[static_cast<std::size_t>(other)];
    are_here = are_here && attendance.is_here;
    if (!attendance.is_here) continue;
    const std::string differs = difference(0, place, other, attendance.place);
    if (!differs.empty()) throw JointError(differs);
    if (!attendance.why_gone.empty()) throw TimeoutError(attendance.peer, attendance.why_gone);
    attendance.is_with_first = true;
  }
  return are_here;
}

/// The part of the others.
bool Meeting::follow(const Place& place, const Patience& patience) {
  const Deadline deadline(patience.timeout);
  Notice notice(rank(), deadline);
  const auto while_waiting = [&] {
    notice.look([&] { return for_whom(place); });
    if (patience.while_waiting) patience.while_waiting();
  };
  const auto has_ended = [&] {
    look();
    follow_past_lost(place);
    return verdicts_.contains(number_);
  };
  try {
    if (!wait_until(deadline, has_ended, std::cref(while_waiting))) {
      give_up(place, deadline.elapsed_seconds());
    }
  } catch (const TimeoutError& error) {
    if (!goes_after_all(error.peer(), error.what(), patience)) throw;
  } catch (const std::exception& error) {
    if (!goes_after_all(rank(), stopped(place, error), patience)) throw;
  }
  const Message verdict = std::move(verdicts_.extract(number_).mapped());
  if (verdict.head.kind == Kind::kDiffer) throw JointError(verdict.text);
  if (verdict.head.kind == Kind::kLost) throw TimeoutError(verdict.head.peer, verdict.sentence());
  return verdict.head.asks != 0;
}

/// Goes on to the first meeting that was not lost in another call than this.
void Meeting::follow_past_lost(const Place& place) {
  const std::uint64_t first = number_;
  const auto is_lost = [&](const Message& verdict) {
    return verdict.head.kind == Kind::kLost && is_other(place, verdict.place());
  };
  while (verdicts_.contains(number_) && is_lost(verdicts_.at(number_))) ++number_;
  if (number_ == first) return;
  is_clean_ = false;
  come(place);
}

/// Tells rank 0 that this one is gone. The answer is that it is not where rank 0 has let all ranks
/// go on before it hears so.
bool Meeting::goes_after_all(Rank peer, std::string_view why, const Patience& patience) {
  is_clean_ = false;
  send({.meeting = number_, .kind = Kind::kGone, .peer = peer}, why, 0);
  const auto is_answered = [&] {
    look();
    return verdicts_.contains(number_);
  };
  const auto answer = std::clamp(patience.timeout / 4, kShortestAnswer, kLongestAnswer);
  return wait_until(Deadline(answer), is_answered) && verdicts_.at(number_).head.kind == Kind::kGo;
}

/// What the others hear when an error of this rank's own ends its wait.
std::string Meeting::stopped(const Place& place, const std::exception& error) const {
  return fmt::format("Rank {} did not wait any longer in {}: {}", rank(), describe(place),
                     error.what());
}

void Meeting::give_up(const Place& place, double seconds) {
  throw TimeoutError(
      missing_rank_,
      fmt::format("Rank {} waited {:.1f} s in {} for {}. Who does not come has ended, hangs, makes "
                  "another call, or needs a longer timeout.",
                  rank(), seconds, describe(place), missing_));
}

std::string Meeting::for_whom(const Place& place) const {
  return fmt::format("{} to come to {}", missing_, describe(place));
}

/// Rank 0 finds out, and tells those who wait with it when that has changed.
void Meeting::tell_for_whom() {
  std::vector<Rank> missing;
  const std::vector<Attendance>& all = attendances(number_);
  for (Rank other = 1; other < size(); ++other) {
    if (!all[static_cast<std::size_t>(other)].is_here) missing.push_back(other);
  }
  if (missing.empty() || who(missing) == missing_) return;
  missing_ = who(missing);
  missing_rank_ = missing.front();
  for (Rank other = 1; other < size(); ++other) {
    if (!all[static_cast<std::size_t>(other)].is_here) continue;
    send({.meeting = number_, .kind = Kind::kWaiting, .peer = missing_rank_}, missing_, other);
  }
}

/// "rank 3" or "ranks 1, 2, 3 and 5 more".
std::string Meeting::who(const std::vector<Rank>& missing) {
  const auto named = std::span(missing).first(std::min(kMostNamed, missing.size()));
  std::string text =
      fmt::format("rank{} {}", missing.size() == 1 ? "" : "s", fmt::join(named, ", "));
  if (named.size() < missing.size()) {
    text += fmt::format(" and {} more", missing.size() - named.size());
  }
  return text;
}

void Meeting::tell_waiting(std::uint64_t wait) {
  waits_[static_cast<std::size_t>(rank())] = wait;
  if (size() > kMostInWait) return;
  is_clean_ = false;
  for (Rank other = 0; other < size(); ++other) {
    if (other != rank()) send({.meeting = wait, .kind = Kind::kInWait}, {}, other);
  }
}

std::string Meeting::missing_in(std::uint64_t wait) {
  if (size() > kMostInWait) return "the other ranks";
  look();
  std::vector<Rank> missing;
  for (Rank other = 0; other < size(); ++other) {
    const bool waits = other == rank() || waits_[static_cast<std::size_t>(other)] >= wait;
    if (!waits) missing.push_back(other);
  }
  return missing.empty() ? std::string() : who(missing);
}

std::vector<Meeting::Attendance>& Meeting::attendances(std::uint64_t meeting) {
  std::vector<Attendance>& all = attendances_[meeting];
  all.resize(static_cast<std::size_t>(size()));
  return all;
}

// --- messages ------------------------------------------------------------------------------------

void Meeting::tell_others(const Part& head, std::string_view text) {
  missing_.clear();
  for (Rank other = 1; other < size(); ++other) send(head, text, other);
}

/// Those who come to `place` are too late.
void Meeting::tell_lost(const Place& place, Rank peer, std::string_view why) {
  Part lost = part_about(place, Kind::kLost);
  lost.peer = peer;
  tell_others(lost, text_of(place, why));
}

Meeting::Part Meeting::part_about(const Place& place, Kind kind) const {
  return {.meeting = number_,
          .step = place.step,
          .kind = kind,
          .is_in_step = place.is_in_step ? std::uint16_t{1} : std::uint16_t{0}};
}

Place Meeting::Message::place() const {
  const std::size_t end = text.find('\n');
  return {.call = text.substr(0, end),
          .what = text.substr(end + 1, text.find('\n', end + 1) - end - 1),
          .step = head.step,
          .is_in_step = head.is_in_step != 0,
          .asks = head.asks != 0};
}

std::string Meeting::Message::sentence() const {
  return text.substr(text.find('\n', text.find('\n') + 1) + 1);
}

void Meeting::send(const Part& head, std::string_view text, Rank to) {
  Part part = head;
  part.text_bytes = static_cast<std::uint32_t>(text.size());
  std::size_t sent = 0;
  do {
    const std::size_t bytes = std::min(kTextBytes, text.size() - sent);
    if (bytes > 0) std::memcpy(part.text, text.data() + sent, bytes);
    sent += bytes;
    mpi::Mailbox::Record record{};
    std::memcpy(record.data(), &part, sizeof(part));
    mailbox_.send(record, to);
  } while (sent < text.size());
}

/// Takes in what has arrived; the parts of one sender arrive in order.
void Meeting::look() {
  mailbox_.progress();
  int misses = 0;
  while (misses < 2) {  // MPI may find only now what the last look has brought in
    const auto arrived = mailbox_.receive();
    misses = arrived ? 0 : misses + 1;
    if (!arrived) continue;
    Part part;
    std::memcpy(&part, arrived->second.data(), sizeof(part));
    Message& message = incomplete_[static_cast<std::size_t>(arrived->first)];
    if (message.text.empty()) message.head = part;
    const std::size_t rest = message.head.text_bytes - message.text.size();
    message.text.append(part.text, std::min(kTextBytes, rest));
    if (message.text.size() < message.head.text_bytes) continue;
    take(arrived->first, std::exchange(message, {}));
  }
}

void Meeting::take(Rank from, const Message& message) {
  const Part& head = message.head;
  if (head.kind == Kind::kInWait) waits_[static_cast<std::size_t>(from)] = head.meeting;
  if (head.kind == Kind::kInWait || head.meeting < number_) return;
  if (head.kind == Kind::kHere) {
    Attendance& attendance = attendances(head.meeting)[static_cast<std::size_t>(from)];
    attendance.is_here = true;
    attendance.place = message.place();
  } else if (head.kind == Kind::kGone) {
    Attendance& attendance = attendances(head.meeting)[static_cast<std::size_t>(from)];
    attendance.why_gone = message.text;
    attendance.peer = head.peer;
  } else if (head.kind != Kind::kWaiting) {
    verdicts_[head.meeting] = message;
  } else if (head.meeting == number_) {
    missing_ = message.text;
    missing_rank_ = head.peer;
  }
}

}  // namespace gossip::transport
