// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <exception>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/base/log.h>
#include <libgossip/base/random.h>
#include <libgossip/mpi/window.h>
#include <libgossip/transport/message/message_mover.h>
#include <libgossip/transport/network_channel.h>
#include <libgossip/transport/rma/put_mover.h>
#include <libgossip/transport/selection.h>

namespace gossip::transport {
namespace {

constexpr std::size_t kTestBytes = std::size_t{1} << 18U;     // of one message at most
constexpr std::size_t kAllTestBytes = std::size_t{1} << 21U;  // of one rank in one round
constexpr int kTestRounds = 4;                                // the first one warms up
constexpr std::chrono::milliseconds kTestTime{1500};
constexpr std::size_t kMostTestPeers = 64;
constexpr int kTestDistance = 8;  // between peers, where there are more

/// The k-th word of a message; no two messages of a test share one.
std::uint64_t pattern(Rank from, Rank to, std::int64_t round, std::size_t k) {
  const auto edge = static_cast<std::uint64_t>(from) << 32U | static_cast<std::uint64_t>(to);
  return SplitMix64::at(edge, static_cast<std::uint64_t>(round) << 32U | k)();
}

/// What the test of one rank needs to know.
struct Test {
  Channel& channel;
  Rank self;
  const std::vector<Rank>& peers;
  std::size_t bytes;  // of each message
};

void send_pattern(const Test& test, Rank to, std::int64_t round) {
  const std::span<std::byte> slot = test.channel.acquire(std::span(&to, 1));
  auto* words = reinterpret_cast<std::uint64_t*>(slot.data());
  for (std::size_t k = 0; k < test.bytes / sizeof(*words); ++k) {
    words[k] = pattern(test.self, to, round, k);
  }
  test.channel.commit({.round = round, .bytes = test.bytes});
}

void check_pattern(const Test& test, Rank from, std::int64_t round) {
  const Message message = test.channel.next(from);
  GOSSIP_CHECK(message.payload().size() == test.bytes, "message {} of rank {} has {} bytes for {}",
               round, from, message.payload().size(), test.bytes);
  GOSSIP_CHECK(message.header().round == round, "message {} of rank {} came in the place of {}",
               message.header().round, from, round);
  const auto* words = reinterpret_cast<const std::uint64_t*>(message.payload().data());
  for (std::size_t k = 0; k < test.bytes / sizeof(*words); ++k) {
    GOSSIP_CHECK(words[k] == pattern(from, test.self, round, k),
                 "message {} of rank {} has a wrong word at byte {}", round, from,
                 k * sizeof(*words));
  }
}

/// What the ranks found, made one: the first error, or the longest time.
TestResult agree(const mpi::Communicator& communicator, const std::string& error, double seconds) {
  TestResult result;
  const std::vector<std::string> errors = communicator.all_gather(error);
  const auto failed = std::ranges::find_if(errors, [](const auto& text) { return !text.empty(); });
  if (failed != errors.end()) {
    result.error = fmt::format("rank {}: {}", failed - errors.begin(), *failed);
  }
  result.seconds = std::ranges::max(communicator.all_gather(error.empty() ? seconds : 0.0));
  return result;
}

/// One round along all edges; the error of this rank, if any.
std::string run_round(const Test& test, std::int64_t round) {
  try {
    for (const Rank peer : test.peers) send_pattern(test, peer, round);
    for (const Rank peer : test.peers) check_pattern(test, peer, round);
  } catch (const std::exception& reason) {
    return reason.what();
  }
  return {};
}

/// Of very many edges some are enough: those between neighbors in the order of the ranks, if both
/// ends name each other.
std::vector<Rank> tested(const std::vector<Rank>& peers, std::size_t most_peers, Rank self,
                         int size) {
  std::vector<Rank> result = peers;
  if (most_peers <= kMostTestPeers) return result;
  std::erase_if(result, [&](Rank peer) {
    const int distance = std::abs(peer - self);
    return std::min(distance, size - distance) > kTestDistance;
  });
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
  const auto make_message_mover = [&] {
    return std::make_unique<message::MessageMover>(duplicate(), piece_bytes);
  };
  if (kind != TransportKind::kRma) {
    return std::make_unique<Network>(duplicate(), make_message_mover(), background);
  }
  auto mover = std::make_unique<rma::PutMover>(duplicate(), piece_bytes);
  return std::make_unique<Network>(
      duplicate(), std::move(mover), background,
      mpi::do_windows_tell_groups_apart() ? nullptr : make_message_mover());
}

TestResult test_network(const mpi::Communicator& communicator, Network& network,
                        const std::vector<Rank>& peers) {
  std::size_t most_peers = 1;
  for (const std::size_t count : communicator.all_gather(peers.size())) {
    most_peers = std::max(most_peers, count);
  }
  const std::vector<Rank> partners =
      tested(peers, most_peers, communicator.rank(), communicator.size());
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  const std::size_t bytes =
      std::min(kTestBytes, kAllTestBytes / std::min(most_peers, kMostTestPeers) / kWord * kWord);
  std::unique_ptr<NetworkChannel> channel;
  std::string error;
  try {
    channel = network.make_channel(
        {.capacity_bytes = bytes,
         .slots = 2,
         .timeout = kTestTime,
         .receive_slots = static_cast<int>(std::min(most_peers, kMostTestPeers))},
        partners);
  } catch (const std::exception& reason) {
    error = reason.what();
  }
  TestResult result = agree(communicator, error, 0.0);
  if (!result.error.empty()) return result;
  const Test test{*channel, communicator.rank(), partners, bytes};
  Clock::time_point start = Clock::now();
  for (std::int64_t round = 0; round < kTestRounds && error.empty(); ++round) {
    error = run_round(test, round);
    if (round == 0) {  // connections are made now
      result = agree(communicator, error, 0.0);
      if (!result.error.empty()) return result;
      start = Clock::now();
    }
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
