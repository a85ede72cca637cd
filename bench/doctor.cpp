// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <mpi.h>

#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/mpi/communicator.h>
#include <libgossip/mpi/serial.h>
#include <libgossip/transport/background.h>
#include <libgossip/transport/transport_options.h>

#include "commands.h"
#include "link.h"
#include "measure.h"
#include "pair_test.h"

namespace gossip::bench {
namespace {

using transport::TransportKind;

constexpr std::array kKinds{TransportKind::kRma, TransportKind::kMessage};
constexpr std::size_t kRma = 0;
constexpr std::size_t kMessage = 1;

/// Of a host's name, say, that is not UTF-8.
constexpr auto kReplace = nlohmann::json::error_handler_t::replace;

/// More pairs than that are summed up in one row.
constexpr std::size_t kMostRows = 28;

/// The tests of one pair of hosts, by transport.
struct PairResult {
  Rank a = 0;  // the first ranks on the two hosts
  Rank b = 0;
  std::array<PairTest, kKinds.size()> tests;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PairResult, a, b, tests)

/// The first rank on each host.
std::vector<Rank> first_ranks(transport::Group& group) {
  Rank first = 0;
  while (!group.shares_memory_with(first)) ++first;
  std::vector<Rank> ranks;
  const std::vector<Rank> all = group.all_gather(first);
  for (Rank rank = 0; rank < group.size(); ++rank) {
    if (all[static_cast<std::size_t>(rank)] == rank) ranks.push_back(rank);
  }
  return ranks;
}

/// Round `round` of a tournament of `players` (an even number, the last one maybe absent):
/// everybody plays everybody in players - 1 rounds.
std::vector<std::pair<int, int>> matches(int players, int round) {
  const int others = players - 1;
  std::vector<std::pair<int, int>> pairs{{round, others}};
  for (int i = 1; i < players / 2; ++i) {
    pairs.emplace_back((round + i) % others, (round + others - i) % others);
  }
  return pairs;
}

/// The communicator of this rank and its opponent; nothing for a rank that waits. Collective.
std::vector<mpi::Communicator> join(const mpi::Communicator& all, int match) {
  std::vector<mpi::Communicator> result;
  MPI_Comm raw = MPI_COMM_NULL;
  {
    const mpi::Serial serial;
    MPI_Comm_split(all.get(), match < 0 ? MPI_UNDEFINED : match, all.rank(), &raw);
  }
  if (raw == MPI_COMM_NULL) return result;
  result.push_back(mpi::Communicator::duplicate(raw));
  const mpi::Serial serial;
  MPI_Comm_free(&raw);
  return result;
}

class Doctor {
 public:
  Doctor(Session& session, const DoctorOptions& options)
      : session_(session),
        options_(options),
        all_(mpi::Communicator::duplicate(MPI_COMM_WORLD)),
        firsts_(first_ranks(session)) {
    std::array<char, 256> name{};
    gethostname(name.data(), name.size() - 1);
    names_ = session_.world().all_gather(std::string_view(name.data()));
  }

  void run() {
    say(fmt::format("{}, {} ranks on {} hosts", mpi_library(), session_.size(), firsts_.size()));
    examine();
    if (session_.rank() != 0) return;
    print();
    say(advice());
    if (!options_.out.empty()) write();
  }

 private:
  void say(const std::string& line) const {
    if (session_.rank() == 0) fmt::print("{}\n", line);
    std::fflush(stdout);
  }

  [[nodiscard]] std::size_t num_pairs() const { return firsts_.size() * (firsts_.size() - 1) / 2; }

  void examine() {
    const auto hosts = static_cast<int>(firsts_.size());
    const int players = hosts + hosts % 2;
    const Deadline deadline(options_.time);
    for (int round = 0; round < players - 1; ++round) {
      if (is_over(deadline)) return;
      const auto pairs = matches(players, round);
      int match = -1;
      for (std::size_t i = 0; i < pairs.size(); ++i) {
        if (std::max(pairs[i].first, pairs[i].second) >= hosts) continue;
        if (rank_of(pairs[i].first) == session_.rank() ||
            rank_of(pairs[i].second) == session_.rank())
          match = static_cast<int>(i);
      }
      play(match);
    }
    std::ranges::sort(results_, {}, [](const PairResult& one) { return std::pair(one.a, one.b); });
  }

  [[nodiscard]] Rank rank_of(int host) const { return firsts_[static_cast<std::size_t>(host)]; }

  /// The first rank's clock counts.
  [[nodiscard]] bool is_over(const Deadline& deadline) {
    std::byte over{deadline.has_passed()};
    session_.world().broadcast(std::span(&over, 1), 0);
    return over != std::byte{0};
  }

  void play(int match) {
    std::string text;
    session_.world().barrier();
    for (const mpi::Communicator& pair : join(all_, match)) {
      PairResult result;
      const std::vector<Rank> ranks = pair.all_gather(session_.rank());
      result.a = ranks[0];
      result.b = ranks[1];
      for (std::size_t i = 0; i < kKinds.size(); ++i) {
        result.tests[i] =
            test_pair(pair, kKinds[i], transport::TransportOptions().piece_bytes, background_);
      }
      if (pair.rank() == 0) text = nlohmann::json(result).dump(-1, ' ', false, kReplace);
    }
    for (const std::string& one : session_.world().all_gather(text)) {
      if (!one.empty()) results_.push_back(nlohmann::json::parse(one).get<PairResult>());
    }
  }

  // --- what rank 0 says --------------------------------------------------------------------------

  [[nodiscard]] std::string name_of(Rank rank) const {
    const std::string& name = names_[static_cast<std::size_t>(rank)];
    return std::ranges::count(names_, name) > 1 ? fmt::format("{} (rank {})", name, rank) : name;
  }

  [[nodiscard]] static std::string cell(const PairTest& test) {
    if (!test.error.empty()) return "fails";
    return fmt::format("{:.0f} us, {:.0f} MB/s, both ways {:.0f}, busy {:.1f} ms", test.latency_us,
                       test.one_way, test.both_ways, test.while_busy_ms);
  }

  /// The worst of all pairs in each figure.
  [[nodiscard]] PairTest worst(std::size_t kind) const {
    PairTest worst = results_.front().tests[kind];
    for (const PairResult& result : results_) {
      const PairTest& test = result.tests[kind];
      if (worst.error.empty()) worst.error = test.error;
      worst.latency_us = std::max(worst.latency_us, test.latency_us);
      worst.one_way = std::min(worst.one_way, test.one_way);
      worst.both_ways = std::min(worst.both_ways, test.both_ways);
      worst.while_busy_ms = std::max(worst.while_busy_ms, test.while_busy_ms);
    }
    return worst;
  }

  [[nodiscard]] std::string error_of(std::size_t kind) const {
    for (const PairResult& result : results_) {
      const std::string& error = result.tests[kind].error;
      if (!error.empty())
        return fmt::format("{} fails between {} and {}: {}", transport::name_of(kKinds[kind]),
                           name_of(result.a), name_of(result.b), error);
    }
    return "";
  }

  void print() const {
    if (results_.empty()) return;
    const auto row = [this](const std::string& name, const PairTest& rma, const PairTest& message) {
      say(fmt::format("  {:<28} {:<52} {:<52}", name, cell(rma), cell(message)));
    };
    say(fmt::format("  {:<28} {:<52} {:<52}", "hosts", "rma", "message"));
    if (results_.size() <= kMostRows) {
      for (const PairResult& result : results_) {
        row(name_of(result.a) + " - " + name_of(result.b), result.tests[kRma],
            result.tests[kMessage]);
      }
    } else {
      row("worst of all pairs", worst(kRma), worst(kMessage));
    }
    say("  (latency of 8 bytes; 1 MB messages one way, and in each direction at once; delivery of "
        "1 MB "
        "while the target computes)");
    const std::string& component = results_.front().tests[kRma].component;
    if (!component.empty()) say("  windows: " + component);
    for (std::size_t kind = 0; kind < kKinds.size(); ++kind) {
      if (!error_of(kind).empty()) say("  " + error_of(kind));
    }
    if (results_.size() < num_pairs()) {
      say(fmt::format("  {} of {} pairs tested: --time gives the others time", results_.size(),
                      num_pairs()));
    }
  }

  [[nodiscard]] std::string advice() const {
    if (results_.empty()) {
      return "All ranks share memory: they use it, and nothing has to be chosen.";
    }
    const PairTest rma = worst(kRma);
    const PairTest message = worst(kMessage);
    const auto reason = [&](const PairTest& test) {
      return fmt::format("it moves at least {:.0f} MB/s each way between all hosts",
                         test.both_ways);
    };
    if (!rma.error.empty() && !message.error.empty()) {
      return "No transport works between all hosts: see the errors above, and whether the hosts "
             "reach "
             "each other by the network that MPI uses.";
    }
    if (!rma.error.empty()) return "Set GOSSIP_TRANSPORT=message: " + reason(message) + ".";
    if (!message.error.empty()) return "Set GOSSIP_TRANSPORT=rma: " + reason(rma) + ".";
    const bool is_rma_better = rma.both_ways >= message.both_ways;
    return fmt::format("Both work; GOSSIP_TRANSPORT={} is the better one: {} ({} {:.0f}).",
                       is_rma_better ? "rma" : "message", reason(is_rma_better ? rma : message),
                       is_rma_better ? "message" : "rma",
                       is_rma_better ? message.both_ways : rma.both_ways);
  }

  void write() const {
    nlohmann::ordered_json all;
    all["mpi"] = mpi_library();
    all["ranks"] = session_.size();
    all["hosts"] = firsts_.size();
    all["pairs"] = num_pairs();
    all["advice"] = advice();
    all["tested"] = nlohmann::ordered_json::array();
    for (const PairResult& result : results_) {
      nlohmann::ordered_json pair;
      pair["hosts"] = {name_of(result.a), name_of(result.b)};
      pair["ranks"] = {result.a, result.b};
      pair["rma"] = nlohmann::json(result.tests[kRma]);
      pair["message"] = nlohmann::json(result.tests[kMessage]);
      all["tested"].push_back(std::move(pair));
    }
    std::ofstream file(options_.out);
    file << all.dump(2, ' ', false, kReplace) << '\n';
    GOSSIP_CHECK(file.good(), "Cannot write {}: does its folder exist?", options_.out);
  }

  Session& session_;
  DoctorOptions options_;
  mpi::Communicator all_;
  std::vector<Rank> firsts_;
  std::vector<std::string> names_;  // hosts, by rank
  transport::Background background_;
  std::vector<PairResult> results_;
};

}  // namespace

void doctor_command(Session& session, const DoctorOptions& options) {
  Doctor(session, options).run();
}

}  // namespace gossip::bench
