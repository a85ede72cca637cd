// SPDX-License-Identifier: Apache-2.0
#include "pair_test.h"

#include <array>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/transport/network_channel.h>
#include <libgossip/transport/selection.h>

namespace gossip::bench {
namespace {

using transport::Channel;
using transport::Message;
using transport::MessageKind;

constexpr std::size_t kMessageBytes = std::size_t{1} << 20U;
constexpr std::chrono::milliseconds kTimeout{3000};
constexpr double kStreamSeconds = 0.3;
constexpr double kBusySeconds = 0.3;
constexpr double kMega = 1e6;

/// A channel between the two ranks, seen from one of them.
class Line {
 public:
  Line(Channel& channel, Rank self) : channel_(channel), peer_(1 - self) {}

  [[nodiscard]] bool try_send(std::size_t bytes, MessageKind kind = MessageKind::kData) {
    Rank blocking = -1;
    if (!channel_.try_acquire(std::span(&peer_, 1), blocking)) return false;
    channel_.commit({.kind = kind, .bytes = bytes});
    return true;
  }
  void send(std::size_t bytes, MessageKind kind = MessageKind::kData) {
    wait([&] { return try_send(bytes, kind); });
  }
  void receive() {
    wait([&] { return channel_.try_next(peer_).has_value(); });
  }
  [[nodiscard]] std::optional<Message> try_receive() { return channel_.try_next(peer_); }

  void wait(const std::function<bool()>& is_done) const {
    GOSSIP_CHECK(wait_until(Deadline(kTimeout), is_done), "nothing came within {} ms",
                 kTimeout.count());
  }

 private:
  Channel& channel_;
  Rank peer_;
};

double latency_us(Line& line, Rank self) {
  constexpr int kRounds = 50;
  constexpr std::size_t kBytes = 8;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < kRounds; ++i) {
    if (self == 0) line.send(kBytes);
    line.receive();
    if (self == 1) line.send(kBytes);
  }
  return kMega * seconds_between(start, Clock::now()) / (2 * kRounds);
}

/// MB/s that arrived here. Streams from the ranks that send, each until its time is over; every
/// stream ends with a message of its own, and every receiver answers that.
double stream(Line& line, bool sends, bool receives) {
  const Clock::time_point start = Clock::now();
  std::size_t bytes = 0;
  double seconds = 0.0;
  bool is_sending = sends;
  bool is_receiving = receives;
  line.wait([&] {
    bool has_moved = true;
    while (has_moved) {
      has_moved = false;
      if (is_sending) {
        const bool is_last = seconds_between(start, Clock::now()) > kStreamSeconds;
        has_moved = line.try_send(is_last ? 0 : kMessageBytes,
                                  is_last ? MessageKind::kLeave : MessageKind::kData);
        if (has_moved && is_last) is_sending = false;
      }
      if (!is_receiving) continue;
      if (const auto message = line.try_receive()) {
        has_moved = true;
        bytes += message->payload().size();
        seconds = seconds_between(start, Clock::now());
        is_receiving = message->header().kind != MessageKind::kLeave;
      }
    }
    return !is_sending && !is_receiving;
  });
  return receives ? static_cast<double>(bytes) / kMega / seconds : 0.0;
}

/// Arithmetic, without a call of anything.
void compute(double seconds) {
  volatile double value = 1.0;
  const Clock::time_point start = Clock::now();
  while (seconds_between(start, Clock::now()) < seconds) {
    for (int i = 0; i < 10000; ++i) value = value * 0.999 + 1e-3;
  }
}

/// On rank 0: until the only slot of `line` is free again, which takes the target's part.
double while_busy_ms(Line& line, Rank self) {
  if (self == 1) {
    compute(kBusySeconds);
    line.receive();
    line.receive();
    return 0.0;
  }
  constexpr double kMilli = 1e3;
  const Clock::time_point start = Clock::now();
  line.send(kMessageBytes);
  line.send(8);
  return kMilli * seconds_between(start, Clock::now());
}

/// `figure` on both ranks, by rank; throws what any of them threw. Collective.
std::array<double, 2> together(const mpi::Communicator& pair,
                               const std::function<double()>& figure) {
  pair.barrier();
  double own = 0.0;
  std::string failure;
  try {
    own = figure();
  } catch (const std::exception& error) {
    failure = error.what();
  }
  for (const std::string& one : pair.all_gather(failure)) {
    if (!one.empty()) throw Error(one);
  }
  const std::vector<double> all = pair.all_gather(own);
  return {all[0], all[1]};
}

void measure(const mpi::Communicator& pair, transport::Network& network, PairTest& result) {
  const Rank self = pair.rank();
  const auto make = [&](int slots) {
    return network.make_channel({.capacity_bytes = kMessageBytes,
                                 .slots = slots,
                                 .timeout = kTimeout,
                                 .receive_slots = slots,
                                 .has_rounds = false},
                                {1 - self});
  };
  constexpr int kSlots = 8;
  const auto wide = make(kSlots);
  const auto narrow = make(1);
  Line line(*wide, self);
  Line single(*narrow, self);
  try {
    result.latency_us = together(pair, [&] { return latency_us(line, self); })[0];
    result.one_way = together(pair, [&] { return stream(line, self == 0, self == 1); })[1];
    const auto both = together(pair, [&] { return stream(line, true, true); });
    result.both_ways = (both[0] + both[1]) / 2;
    result.while_busy_ms = together(pair, [&] { return while_busy_ms(single, self); })[0];
  } catch (const Error& error) {
    result.error = error.what();
  }
}

}  // namespace

PairTest test_pair(const mpi::Communicator& pair, transport::TransportKind kind,
                   std::size_t piece_bytes, transport::Background& background) {
  const auto network = transport::make_network(pair, kind, piece_bytes, background);
  const transport::TestResult test = transport::test_network(pair, *network, {1 - pair.rank()});
  PairTest result{.error = test.error, .component = test.component};
  if (result.error.empty()) measure(pair, *network, result);
  return result;
}

}  // namespace gossip::bench
