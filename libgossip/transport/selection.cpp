// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <exception>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/base/random.h>
#include <libgossip/transport/message/message_mover.h>
#include <libgossip/transport/network_channel.h>
#include <libgossip/transport/rma/put_mover.h>
#include <libgossip/transport/selection.h>

namespace gossip::transport {
namespace {

constexpr std::size_t kTestBytes = std::size_t{1} << 18U;  // of one message
constexpr int kTestMessages = 4;                           // to each peer
constexpr std::chrono::milliseconds kTestTime{1500};

/// The k-th word of a message; no two messages of a test share one.
std::uint64_t pattern(Rank from, Rank to, std::int64_t round, std::size_t k) {
  const auto edge = static_cast<std::uint64_t>(from) << 32U | static_cast<std::uint64_t>(to);
  return SplitMix64::at(edge, static_cast<std::uint64_t>(round) << 32U | k)();
}

void send_pattern(Channel& channel, Rank self, Rank to, std::int64_t round) {
  const std::span<std::byte> slot = channel.acquire(std::span(&to, 1));
  auto* words = reinterpret_cast<std::uint64_t*>(slot.data());
  for (std::size_t k = 0; k < kTestBytes / sizeof(*words); ++k) {
    words[k] = pattern(self, to, round, k);
  }
  channel.commit({.round = round, .bytes = kTestBytes});
}

void check_pattern(Channel& channel, Rank self, Rank from, std::int64_t round) {
  const Message message = channel.next(from);
  GOSSIP_CHECK(message.header().round == round, "message {} of rank {} came in the place of {}",
               message.header().round, from, round);
  const auto* words = reinterpret_cast<const std::uint64_t*>(message.payload().data());
  for (std::size_t k = 0; k < kTestBytes / sizeof(*words); ++k) {
    GOSSIP_CHECK(words[k] == pattern(from, self, round, k),
                 "message {} of rank {} has a wrong word at byte {}", round, from,
                 k * sizeof(*words));
  }
}

/// What the ranks found, made one: the first error, or the longest time.
TestResult agree(const mpi::Communicator& communicator, const std::string& error, double seconds) {
  TestResult result;
  const std::vector<std::string> all =
      communicator.all_gather(error.empty() ? fmt::format("{}", seconds) : "!" + error);
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank].starts_with('!')) {
      if (result.error.empty())
        result.error = fmt::format("rank {}: {}", rank, all[rank].substr(1));
    } else {
      result.seconds = std::max(result.seconds, std::stod(all[rank]));
    }
  }
  return result;
}

const char* const kAdvice =
    "Use GOSSIP_TRANSPORT=message (--transport message), or an MPI library with one-sided "
    "communication between these hosts: Open MPI 5, MPICH 4 or newer, or Open MPI 4.1 on a fabric "
    "with RDMA (OMPI_MCA_osc names its components)";

}  // namespace

std::unique_ptr<Network> make_network(const mpi::Communicator& communicator, TransportKind kind,
                                      std::size_t piece_bytes, Background& background) {
  const auto duplicate = [&] { return mpi::Communicator::duplicate(communicator.get()); };
  std::unique_ptr<PayloadMover> mover;
  if (kind == TransportKind::kRma) {
    mover = std::make_unique<rma::PutMover>(duplicate(), piece_bytes);
  } else {
    mover = std::make_unique<message::MessageMover>(duplicate(), piece_bytes);
  }
  return std::make_unique<Network>(duplicate(), std::move(mover), background);
}

TestResult test_network(const mpi::Communicator& communicator, Network& network,
                        const std::vector<Rank>& peers) {
  std::unique_ptr<NetworkChannel> channel;
  std::string error;
  try {
    channel =
        network.make_channel({.capacity_bytes = kTestBytes,
                              .slots = 2,
                              .timeout = kTestTime,
                              .receive_slots = std::max<int>(1, static_cast<int>(peers.size())),
                              .has_rounds = true},
                             peers);
  } catch (const std::exception& reason) {
    error = reason.what();
  }
  TestResult result = agree(communicator, error, 0.0);
  if (!result.error.empty()) return result;
  const Clock::time_point start = Clock::now();
  try {
    for (std::int64_t round = 0; round < kTestMessages; ++round) {
      for (const Rank peer : peers) send_pattern(*channel, communicator.rank(), peer, round);
      for (const Rank peer : peers) check_pattern(*channel, communicator.rank(), peer, round);
    }
  } catch (const std::exception& reason) {
    error = reason.what();
  }
  result = agree(communicator, error, seconds_between(start, Clock::now()));
  if (const auto* mover = dynamic_cast<const rma::PutMover*>(&network.mover())) {
    result.component = mover->component();
  }
  return result;
}

std::unique_ptr<Network> select_network(const mpi::Communicator& communicator,
                                        const TransportOptions& options, Background& background,
                                        const std::vector<Rank>& peers) {
  const auto make = [&](TransportKind kind) {
    return make_network(communicator, kind, options.piece_bytes, background);
  };
  const auto say = [&](std::string_view choice, std::string_view why) {
    if (communicator.rank() == 0) log(LogLevel::kInfo, 0, "between hosts: {} ({})", choice, why);
  };
  if (options.kind == TransportKind::kMessage) {
    auto network = make(TransportKind::kMessage);
    say("message", "as asked for");
    return network;
  }
  auto rma = make(TransportKind::kRma);
  const TestResult rma_test = test_network(communicator, *rma, peers);
  const std::string component =
      rma_test.component.empty() ? "" : fmt::format("component {}, ", rma_test.component);
  if (options.kind == TransportKind::kRma) {
    if (!rma_test.error.empty()) {
      throw JointError(
          fmt::format("The transport 'rma' was asked for, but its self-test failed ({}{}). {}.",
                      component, rma_test.error, kAdvice));
    }
    say("rma", component + "as asked for");
    return rma;
  }
  auto message = make(TransportKind::kMessage);
  if (!rma_test.error.empty()) {
    say("message", "one-sided communication does not work: " + rma_test.error);
    return message;
  }
  const TestResult message_test = test_network(communicator, *message, peers);
  const bool is_rma_better =
      !message_test.error.empty() || rma_test.seconds <= message_test.seconds;
  say(is_rma_better ? "rma" : "message",
      fmt::format("{}rma took {:.0f} ms for the self-test, message {:.0f} ms", component,
                  rma_test.seconds * 1e3, message_test.seconds * 1e3));
  return is_rma_better ? std::move(rma) : std::move(message);
}

}  // namespace gossip::transport
