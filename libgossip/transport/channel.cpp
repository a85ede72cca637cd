// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <string_view>
#include <tuple>
#include <utility>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/notice.h>
#include <libgossip/transport/channel.h>

namespace gossip::transport {
namespace {

constexpr std::string_view kSend = "send its next message";

TimeoutError lateness(Rank peer, std::string_view what, std::chrono::milliseconds timeout) {
  return {peer, fmt::format("Rank {} did not {} within {} ms: it has ended, hangs, or needs a "
                            "longer timeout.",
                            peer, what, timeout.count())};
}

/// Looks at `attempt` until it gives something, or nothing when the deadline has passed, or
/// `at_most` from now. `whom()` says who is waited for.
template <class Attempt, class Whom>
auto look_until(const Deadline& deadline, std::chrono::milliseconds at_most, Rank self,
                const ChannelOptions& options, Attempt&& attempt, Whom&& whom) {
  decltype(attempt()) result;
  Notice notice(self, deadline);
  const auto while_waiting = [&] {
    notice.look(whom);
    if (options.while_waiting) options.while_waiting();
  };
  const auto is_done = [&] { return (result = attempt()).has_value(); };
  std::ignore = wait_until(deadline, is_done, std::cref(while_waiting), at_most);  // no allocation
  return result;
}

/// The same with the channel's timeout. `peer()` is the rank that is waited for, `what` its task.
template <class Attempt, class Peer>
auto wait_for(Rank self, const ChannelOptions& options, std::string_view what, Attempt&& attempt,
              Peer&& peer) {
  auto result = attempt();
  if (result) return result;
  const Deadline deadline(options.timeout);
  const auto whom = [&] { return fmt::format("rank {} to {}", peer(), what); };
  constexpr auto kAllOfIt = std::chrono::milliseconds::max();
  result = look_until(deadline, kAllOfIt, self, options, attempt, whom);
  if (!result) throw lateness(peer(), what, options.timeout);
  return result;
}

}  // namespace

Message::Message(Message&& other) noexcept
    : channel_(std::exchange(other.channel_, nullptr)),
      from_(other.from_),
      slot_(other.slot_),
      header_(other.header_),
      payload_(other.payload_) {}

Message& Message::operator=(Message&& other) noexcept {
  if (this != &other) {
    release();
    channel_ = std::exchange(other.channel_, nullptr);
    from_ = other.from_;
    slot_ = other.slot_;
    header_ = other.header_;
    payload_ = other.payload_;
  }
  return *this;
}

Message::~Message() { release(); }

void Message::release() noexcept {
  if (channel_ != nullptr) std::exchange(channel_, nullptr)->release(from_, slot_);
}

std::span<std::byte> Channel::acquire(std::span<const Rank> to) {
  Rank blocking = 0;
  return *wait_for(
      self_, options_, "read an earlier message", [&] { return try_acquire(to, blocking); },
      [&] { return blocking; });
}

Message Channel::next(Rank from) {
  return std::move(*wait_for(
      self_, options_, kSend, [&] { return try_next(from); }, [&] { return from; }));
}

std::optional<Message> Channel::next_any(std::span<const Rank> ranks, const Deadline& deadline,
                                         std::chrono::milliseconds at_most) {
  GOSSIP_CHECK(!ranks.empty() && std::ranges::is_sorted(ranks),
               "next_any() takes ranks in ascending order, at least one, not '{}'.",
               fmt::join(ranks, ", "));
  const auto attempt = [&] { return try_next_any(ranks); };
  std::optional<Message> result = attempt();
  if (result || at_most <= std::chrono::milliseconds::zero()) return result;
  const auto whom = [&] {
    return ranks.size() == 1
               ? fmt::format("rank {} to {}", ranks.front(), kSend)
               : fmt::format("the next message of one of ranks {}", fmt::join(ranks, ", "));
  };
  return look_until(deadline, at_most, self_, options_, attempt, whom);
}

std::optional<Message> Channel::try_next_any(std::span<const Rank> ranks) {
  const auto after = std::ranges::upper_bound(ranks, given_last_);
  const auto first = static_cast<std::size_t>(after - ranks.begin());
  for (const std::span<const Rank> part : {ranks.subspan(first), ranks.first(first)}) {
    for (const Rank from : part) {
      std::optional<Message> message = try_next(from);
      if (!message) continue;
      given_last_ = from;
      return message;
    }
  }
  return std::nullopt;
}

TimeoutError Channel::lateness_of(Rank from) const {
  return lateness(from, kSend, options_.timeout);
}

}  // namespace gossip::transport
