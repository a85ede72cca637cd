// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <utility>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/notice.h>
#include <libgossip/transport/channel.h>

namespace gossip::transport {
namespace {

/// Looks at `attempt` until it gives something. `peer()` is the rank that is waited for, `what` its
/// task.
template <class Attempt, class Peer>
auto wait_for(Rank self, const ChannelOptions& options, std::string_view what, Attempt&& attempt,
              Peer&& peer) {
  auto result = attempt();
  if (result) return result;
  const Deadline deadline(options.timeout);
  Notice notice(self, deadline);
  const auto while_waiting = [&] {
    notice.look([&] { return fmt::format("rank {} to {}", peer(), what); });
    if (options.while_waiting) options.while_waiting();
  };
  const auto is_done = [&] { return (result = attempt()).has_value(); };
  if (wait_until(deadline, is_done, std::cref(while_waiting))) return result;  // allocates nothing
  throw TimeoutError(peer(),
                     fmt::format("Rank {} did not {} within {} ms: it has ended, hangs, or needs a "
                                 "longer timeout.",
                                 peer(), what, options.timeout.count()));
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
      self_, options_, "send its next message", [&] { return try_next(from); },
      [&] { return from; }));
}

}  // namespace gossip::transport
