// SPDX-License-Identifier: Apache-2.0
// Readers and writers at different speeds; every payload
// carries a checksum, and none may be torn. The control runs the same code over a channel of which
// every read is torn. See on_ranks.h and stress.h.
#include "transport/stress.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/random.h>
#include <libgossip/transport/group.h>

#include "transport/on_ranks.h"

namespace gossip::transport {
namespace {

using test::on_ranks;

/// The sanitizers slow memory down too much for the full counts.
#if defined(__SANITIZE_THREAD__)
constexpr std::int64_t kLess = 10;
#elif defined(__SANITIZE_ADDRESS__)
constexpr std::int64_t kLess = 2;
#else
constexpr std::int64_t kLess = 1;
#endif

/// A reader that always finds the same message tests nothing.
constexpr std::int64_t kLeastDistinct = 10;

struct Load {
  Reading reading;
  std::size_t bytes;
  std::int64_t reads;  // of all readers together
};

struct Outcome {
  std::int64_t reads = 0;
  std::int64_t torn = 0;
  std::int64_t distinct = 0;  // messages that were read at least once
};

std::uint64_t hash(Rank sender, std::int64_t round) {
  return SplitMix64::at(static_cast<std::uint64_t>(sender), static_cast<std::uint64_t>(round))();
}

/// Fills the payload with numbers that differ between senders and rounds; the first word is the
/// checksum of the others and of the round.
void fill(std::span<std::byte> payload, Rank sender, std::int64_t round) {
  auto* words = reinterpret_cast<std::uint64_t*>(payload.data());
  const std::size_t count = payload.size() / sizeof(std::uint64_t);
  const std::uint64_t start = hash(sender, round);
  std::uint64_t sum = 0;
  for (std::size_t k = 1; k < count; ++k) {
    words[k] = start + k;
    sum += words[k];
  }
  words[0] = sum ^ start;
}

bool is_torn(const Message& message) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(message.payload().data());
  const std::size_t count = message.payload().size() / sizeof(std::uint64_t);
  std::uint64_t sum = 0;
  for (std::size_t k = 1; k < count; ++k) sum += words[k];
  return words[0] != (sum ^ hash(message.from(), message.header().round));
}

/// Now and then a pause of about the time that a payload takes, so that nobody keeps in step.
class Gait {
 public:
  explicit Gait(Rank rank) : random_(static_cast<std::uint64_t>(rank) + 99) {}

  void maybe_pause() {
    const std::uint64_t dice = random_.below(4096);
    if (dice == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    if (dice < 256) std::this_thread::yield();
    if (dice < 1024) {
      for (std::uint64_t k = dice; k > 0; --k) std::atomic_signal_fence(std::memory_order_seq_cst);
    }
  }

  /// Whether this reader looks at the message a second time before it gives it back.
  bool lingers() { return random_.below(8) == 0; }

 private:
  SplitMix64 random_;
};

/// The first half of the ranks write, the others read.
struct Roles {
  explicit Roles(const Group& group) {
    for (Rank rank = 0; rank < group.size(); ++rank) {
      (rank < group.size() / 2 ? writers : readers).push_back(rank);
    }
  }
  std::vector<Rank> writers;
  std::vector<Rank> readers;
};

void write_one(Channel& channel, std::span<const Rank> to, Rank self, std::int64_t round,
               std::size_t bytes) {
  fill(channel.acquire(to).first(bytes), self, round);
  channel.commit({.round = round, .bytes = bytes});
}

void read_one(const Message& message, Gait& gait, Outcome& outcome) {
  bool is_bad = is_torn(message);
  if (gait.lingers()) {
    gait.maybe_pause();
    is_bad = is_torn(message) || is_bad;
  }
  ++outcome.reads;
  outcome.torn += is_bad ? 1 : 0;
}

/// Every message exactly once.
Outcome run_next(Group& group, Channel& channel, const Load& load, const Roles& roles) {
  const std::int64_t rounds =
      load.reads / static_cast<std::int64_t>(roles.readers.size() * roles.writers.size()) + 1;
  Gait gait(group.rank());
  Outcome outcome;
  for (std::int64_t round = 0; round < rounds; ++round) {
    if (group.rank() < static_cast<Rank>(roles.writers.size())) {
      write_one(channel, roles.readers, group.rank(), round, load.bytes);
    } else {
      for (const Rank writer : roles.writers) {
        read_one(channel.next(writer), gait, outcome);
        ++outcome.distinct;
      }
    }
    gait.maybe_pause();
  }
  return outcome;
}

/// The newest message, while the writers go on until all readers have read enough.
Outcome run_latest(Group& group, Channel& channel, const Load& load, const Roles& roles) {
  const auto ends = group.make_channel({.has_rounds = false});  // readers say that they are done
  Gait gait(group.rank());
  Outcome outcome;
  if (group.rank() < static_cast<Rank>(roles.writers.size())) {
    std::size_t done = 0;
    for (std::int64_t round = 0; done < roles.readers.size(); ++round) {
      write_one(channel, roles.readers, group.rank(), round, load.bytes);
      gait.maybe_pause();
      while (done < roles.readers.size() && ends->try_next(roles.readers[done])) ++done;
    }
  } else {
    const std::int64_t reads = load.reads / static_cast<std::int64_t>(roles.readers.size()) + 1;
    std::vector<std::uint64_t> last(roles.writers.size(), 0);
    for (std::size_t k = 0; outcome.reads < reads || outcome.distinct < kLeastDistinct;
         k = (k + 1) % last.size()) {
      const std::optional<Message> message = channel.latest(roles.writers[k]);
      if (!message) {
        std::this_thread::yield();
        continue;
      }
      outcome.distinct += message->header().sequence != last[k] ? 1 : 0;
      last[k] = message->header().sequence;
      read_one(*message, gait, outcome);
      gait.maybe_pause();
    }
    std::ignore = ends->acquire(roles.writers);
    ends->commit({});
  }
  group.barrier();
  return outcome;
}

using Make = std::unique_ptr<Channel> (*)(Group&, const ChannelOptions&);

std::unique_ptr<Channel> make_channel(Group& group, const ChannelOptions& options) {
  return group.make_channel(options);
}

/// What the readers of all ranks saw together.
Outcome run(Group& group, const Load& load, Make make) {
  const Roles roles(group);
  const std::unique_ptr<Channel> channel =
      make(group, {.capacity_bytes = load.bytes,
                   .slots = 2,
                   .reading = load.reading,
                   .timeout = std::chrono::seconds(50),
                   .receive_slots = static_cast<int>(roles.writers.size())});
  const Outcome own = load.reading == Reading::kNext ? run_next(group, *channel, load, roles)
                                                     : run_latest(group, *channel, load, roles);
  const auto total = [&](std::int64_t value) {
    return static_cast<std::int64_t>(mean_of(group, static_cast<double>(value)) * group.size() +
                                     0.5);
  };
  Outcome all;
  all.reads = total(own.reads);
  all.torn = total(own.torn);
  all.distinct = total(own.distinct);
  return all;
}

struct Case {
  int ranks;
  Load load;
};

/// Full counts with one writer and one reader, a tenth with more of either.
std::vector<Case> cases(std::initializer_list<Load> loads,
                        const std::vector<Reading>& readings = {Reading::kNext, Reading::kLatest}) {
  std::vector<Case> all;
  for (const int ranks : test::rank_counts()) {
    if (ranks < 2 || ranks > 4) continue;
    const int less = ranks == 2 ? 1 : 10;
    for (const Reading reading : readings) {
      for (const Load& load : loads) {
        all.push_back(
            {ranks, {reading, load.bytes, std::max<std::int64_t>(load.reads / less, 20)}});
      }
    }
  }
  return all;
}

std::string name_of(const testing::TestParamInfo<Case>& param) {
  const Load& load = param.param.load;
  return std::to_string(param.param.ranks) + "Ranks" +
         (load.reading == Reading::kNext ? "Next" : "Latest") + std::to_string(load.bytes) +
         "Bytes";
}

class Stress : public testing::TestWithParam<Case> {};

TEST_P(Stress, NoReadIsTorn) {
  const Load& load = GetParam().load;
  on_ranks(GetParam().ranks, [&](Group& group) {
    const Outcome outcome = run(group, load, make_channel);

    EXPECT_GE(outcome.reads, load.reads);
    EXPECT_GE(outcome.distinct, kLeastDistinct);
    EXPECT_EQ(outcome.torn, 0);
  });
}

constexpr Reading kAny = Reading::kNext;

/// What the full counts are divided by; these take minutes, and stand in tests of their own.
std::int64_t less_than_full() {
  const char* text = std::getenv("GOSSIP_TEST_STRESS");
  const bool is_full = text != nullptr && std::string_view(text) == "full";
  return kLess * (is_full ? 1 : test::stress_divisor());
}

/// The reads that a program makes of 4 KB, 256 KB and 16 MB.
std::vector<Case> main_cases() {
  const std::int64_t less = less_than_full();
  return cases({{kAny, 4U << 10U, 1000000 / less},
                {kAny, 256U << 10U, 100000 / less},
                {kAny, 16U << 20U, 1000 / less}});
}

INSTANTIATE_TEST_SUITE_P(Channels, Stress, testing::ValuesIn(main_cases()), name_of);

// So short that a pin which another core sees late, or an overwriting sender, is met in the act.
INSTANTIATE_TEST_SUITE_P(OneCacheLine, Stress,
                         testing::ValuesIn(cases({{kAny, 64, 5000000 / less_than_full()}},
                                                 {Reading::kLatest})),
                         name_of);

class StressControl : public testing::TestWithParam<Case> {};

TEST_P(StressControl, SeesEveryTornReadOfAChannelThatTellsOfAMessageBeforeAllOfItIsThere) {
  const Load& load = GetParam().load;
  on_ranks(GetParam().ranks, [&](Group& group) {
    const Outcome outcome = run(group, load, test::make_early_channel);

    EXPECT_GE(outcome.reads, load.reads);
    EXPECT_EQ(outcome.torn, outcome.reads);
  });
}

INSTANTIATE_TEST_SUITE_P(Channels, StressControl,
                         testing::ValuesIn(cases({{kAny, 4U << 10U, 1000},
                                                  {kAny, 256U << 10U, 100},
                                                  {kAny, 16U << 20U, 20}})),
                         name_of);

}  // namespace
}  // namespace gossip::transport
