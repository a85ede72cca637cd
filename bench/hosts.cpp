// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <mpi.h>

#include <libgossip/algorithm/ad_psgd.h>
#include <libgossip/base/deadline.h>
#include <libgossip/base/error.h>
#include <libgossip/engine/pairs/pair_exchange.h>
#include <libgossip/mpi/communicator.h>

#include "all_reduces.h"
#include "commands.h"
#include "link.h"
#include "measure.h"
#include "trainers.h"

namespace gossip::bench {
namespace {

using Walks = std::vector<Walk>;  // by rank

/// At least so many of what takes half a second.
constexpr int kExchanges = 11;

/// Which ranks count where one is slow.
enum class Ranks { kAll, kButTheFirst };

/// The slowest rank's steps per second.
double pace(const Walks& walks, Ranks ranks = Ranks::kAll) {
  double slowest = walks.back().pace();
  for (std::size_t rank = ranks == Ranks::kAll ? 0 : 1; rank < walks.size(); ++rank) {
    slowest = std::min(slowest, walks[rank].pace());
  }
  return slowest;
}

/// The mean over the ranks.
template <class Value>
double mean_of(const Walks& walks, Value value) {
  double sum = 0.0;
  for (const Walk& walk : walks) sum += value(walk);
  return sum / static_cast<double>(walks.size());
}

/// All repetitions of one trainer.
struct Runs {
  std::string name;
  std::vector<Walks> repetitions;

  template <class Value>
  [[nodiscard]] double median(Value value) const {
    std::vector<double> values;
    for (const Walks& walks : repetitions) values.push_back(value(walks));
    return median_of(std::move(values));
  }
  template <class Value>
  [[nodiscard]] double median_of_means(Value value) const {
    return median([&](const Walks& walks) { return mean_of(walks, value); });
  }
};

/// The median over repetitions of a value of two trainers, one over the other in the same one.
template <class Value>
double ratio(const Runs& numerator, const Runs& denominator, Value value) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < numerator.repetitions.size(); ++i) {
    ratios.push_back(value(numerator.repetitions[i]) / value(denominator.repetitions[i]));
  }
  return median_of(std::move(ratios));
}

double slowest(const Walks& walks) { return pace(walks); }
double slowest_of_others(const Walks& walks) { return pace(walks, Ranks::kButTheFirst); }

/// Everything that the figures share.
class Measurement {
 public:
  Measurement(Session& session, const HostsOptions& options)
      : session_(session),
        options_(options),
        communicator_(mpi::Communicator::duplicate(MPI_COMM_WORLD)),
        gradient_(options.bytes / sizeof(float)),
        sum_(gradient_.size()),
        all_reduces_(all_reduces(session_.world(), communicator_, gradient_, sum_)),
        no_communication_(make_no_communication(options.bytes)) {}

  void run() {
    if (wants("exchange")) exchange_alone();
    const bool trains = wants("steps") || wants("slow") || wants("compute");
    if (!trains && !wants("allreduce")) return;
    const Contender best = all_reduce_alone();
    if (!trains) return;
    GossipTrainer gossip(session_, options_.bytes, options_.exchanges_per_step);
    const auto all_reduce = make_all_reduce_trainer(session_, sum_, best);
    if (wants("steps")) steps(gossip, *all_reduce);
    if (wants("slow")) slow_rank(gossip, *all_reduce);
    if (wants("compute")) steps_that_compute(gossip, *all_reduce);
  }

 private:
  [[nodiscard]] bool wants(const std::string& figure) const {
    return options_.figures.empty() ||
           std::ranges::find(options_.figures, figure) != options_.figures.end();
  }

  void say(const std::string& line) const {
    if (session_.rank() == 0) fmt::print(stderr, "{}\n", line);
  }

  void report(const std::string& metric, double value, const std::string& unit) const {
    const nlohmann::json params{{"ranks", session_.size()},
                                {"bytes", options_.bytes},
                                {"link", options_.link},
                                {"transport", session_.world().transport()},
                                {"mpi", mpi_library()},
                                {"exchanges_per_step", options_.exchanges_per_step},
                                {"repetitions", options_.repetitions}};
    bench::report(session_, "hosts", metric, value, unit, params);
  }

  /// What the link takes for the vector once, in seconds; 0 where it is not limited.
  [[nodiscard]] double wire_seconds() const {
    const double rate = link_bytes_per_second(options_.link);
    return rate > 0 ? static_cast<double>(options_.bytes) / rate : 0.0;
  }

  [[nodiscard]] std::vector<Runs> run_in_turn(const std::vector<Trainer*>& trainers,
                                              const Pass& pass) {
    std::vector<Runs> all;
    for (const Trainer* trainer : trainers) all.push_back({trainer->name(), {}});
    for (int repetition = 0; repetition < options_.repetitions; ++repetition) {
      for (std::size_t i = 0; i < trainers.size(); ++i) {
        session_.world().barrier();
        all[i].repetitions.push_back(
            session_.world().all_gather(trainers[i]->run(pass, options_.seconds)));
      }
    }
    return all;
  }

  void print(const std::vector<Runs>& all) const {
    for (const Runs& runs : all) {
      const auto mean = [&](auto value) { return runs.median_of_means(value); };
      const auto per_step = [&](double Walk::*part) {
        return 1e3 * mean([=](const Walk& walk) { return walk.*part / walk.steps; });
      };
      say(fmt::format(
          "  {:<46} {:6.2f} steps/s (slowest rank {:.2f}); of a step {:.1f} ms pass, "
          "{:.1f} update, {:.1f} wait, {:.1f} merge; {:.2f} averages/s, {:.2f} "
          "exchanges/s started, {:.2f} left out, thread {:.1f} %",
          runs.name, mean([](const Walk& walk) { return walk.pace(); }), runs.median(slowest),
          per_step(&Walk::pass_seconds), per_step(&Walk::update_seconds),
          per_step(&Walk::wait_seconds), per_step(&Walk::merge_seconds),
          mean([&](const Walk& walk) {
            return walk.bytes_averaged / static_cast<double>(options_.bytes) / walk.seconds;
          }),
          mean([](const Walk& walk) { return walk.exchanges / walk.seconds; }),
          mean([](const Walk& walk) { return walk.skipped / walk.seconds; }),
          100 * mean([](const Walk& walk) { return walk.thread_seconds / walk.seconds; })));
    }
  }

  /// One event between the two hosts of each pair, nothing else going on.
  void exchange_alone() {
    if (session_.size() % 2 != 0) return;
    const Rank peer = session_.rank() ^ 1;
    const std::vector<double> elapsed(static_cast<std::size_t>(session_.size()), 1.0);
    engine::PairExchange exchange(session_, std::make_shared<algorithm::ADPSGD>(),
                                  {{Dtype::kFloat32, nullptr, gradient_.size()}},
                                  {.peers = {peer}, .elapsed = elapsed});
    std::ranges::fill(exchange.model().front().as<float>(), static_cast<float>(session_.rank()));
    exchange.close();
    const auto times =
        measure(session_,
                {{"exchange both ways, every second rank asks",
                  [&] {
                    if (session_.rank() % 2 == 0) exchange.request(peer);
                    const auto is_over = [&] { return !exchange.is_pending(peer); };
                    GOSSIP_CHECK(wait_until(Deadline(std::chrono::minutes(1)), is_over),
                                 "The exchange hangs.");
                  }}},
                std::max(options_.repetitions, kExchanges));
    exchange.drain();
    print_table(session_, times);
    if (wire_seconds() > 0) {
      report("exchange_over_wire", wire_seconds() / times[0].median(), "ratio");
    }
  }

  /// Returns the fastest.
  [[nodiscard]] Contender all_reduce_alone() {
    const auto times = measure(session_, all_reduces_, options_.repetitions);
    print_table(session_, times);
    std::size_t best = 0;
    for (std::size_t i = 1; i < times.size(); ++i) {
      if (times[i].median() < times[best].median()) best = i;
    }
    if (wire_seconds() > 0) {
      const double share = 2.0 * (session_.size() - 1) / session_.size();
      report("allreduce_over_wire", share * wire_seconds() / times[best].median(), "ratio");
    }
    best = static_cast<std::size_t>(from_first_rank(static_cast<double>(best)));
    return all_reduces_[best];
  }

  [[nodiscard]] double from_first_rank(double value) {
    session_.world().broadcast(std::as_writable_bytes(std::span(&value, 1)), 0);
    return value;
  }

  void steps(GossipTrainer& gossip, Trainer& all_reduce) {
    say(fmt::format("a step waits {} ms:", options_.step.count()));
    const auto runs =
        run_in_turn({no_communication_.get(), &gossip, &all_reduce}, waiting_pass(options_.step));
    print(runs);
    report("gossip_over_no_communication", ratio(runs[1], runs[0], slowest), "ratio");
    report("gossip_over_allreduce", ratio(runs[1], runs[2], slowest), "ratio");
    report_averages(gossip, runs[1]);
  }

  void report_averages(const GossipTrainer& gossip, const Runs& runs) {
    const auto bytes_per_second = [](const Walk& walk) {
      return walk.bytes_averaged / walk.seconds;
    };
    const double rate = runs.median_of_means(bytes_per_second);
    const double link = link_bytes_per_second(options_.link);
    if (link > 0) report("link_utilization", rate / link, "ratio");
    report("averages_per_second_and_rank", rate / static_cast<double>(options_.bytes), "1/s");
    report("averages_per_step_and_rank", runs.median_of_means([&](const Walk& walk) {
      return walk.bytes_averaged / static_cast<double>(options_.bytes) / walk.steps;
    }),
           "1/step");
    const auto age = [&](double share) {
      const auto own = static_cast<double>(gossip.ages().quantile(share));
      return session_.world().all_reduce(own, transport::Reduction::kSum) / session_.size();
    };
    constexpr double kMost = 0.95;
    report("staleness_steps_median", age(0.5), "steps");  // NOLINT(readability-magic-numbers)
    report("staleness_steps_p95", age(kMost), "steps");
    report("communication_thread_cpu_share", runs.median_of_means([](const Walk& walk) {
      return walk.thread_seconds / walk.seconds;
    }),
           "of a core");
  }

  void slow_rank(GossipTrainer& gossip, Trainer& all_reduce) {
    const std::chrono::milliseconds slow = 4 * options_.step;
    say(fmt::format("the same, rank 0 waits {} ms:", slow.count()));
    const Pass pass = waiting_pass(session_.rank() == 0 ? slow : options_.step);
    const auto runs = run_in_turn({no_communication_.get(), &gossip, &all_reduce}, pass);
    print(runs);
    report("others_pace_with_one_rank_4x_slow", ratio(runs[1], runs[0], slowest_of_others),
           "ratio");
    report("others_pace_with_one_rank_4x_slow_allreduce",
           ratio(runs[2], runs[0], slowest_of_others), "ratio");
  }

  void steps_that_compute(GossipTrainer& gossip, Trainer& all_reduce) {
    say(fmt::format("a step computes {} ms of one core:", options_.step.count()));
    const Pass pass = computing_pass(session_, options_.step);
    const auto runs = run_in_turn({no_communication_.get(), &gossip, &all_reduce}, pass);
    print(runs);
    const auto pass_time = [](const Walks& walks) {
      return mean_of(walks, [](const Walk& walk) { return walk.pass_seconds / walk.steps; });
    };
    report("compute_slowdown", ratio(runs[1], runs[0], pass_time), "ratio");
    report("gossip_over_no_communication_on_cpu", ratio(runs[1], runs[0], slowest), "ratio");
    report("gossip_over_allreduce_on_cpu", ratio(runs[1], runs[2], slowest), "ratio");
  }

  Session& session_;
  HostsOptions options_;
  mpi::Communicator communicator_;
  std::vector<float> gradient_;
  std::vector<float> sum_;  // of all ranks' gradients
  std::vector<Contender> all_reduces_;
  std::unique_ptr<Trainer> no_communication_;
};

}  // namespace

void hosts_command(Session& session, const HostsOptions& options) {
  GOSSIP_CHECK(session.size() >= 2,
               "There is nothing to measure between hosts with {} rank: start 2 or more.",
               session.size());
  Measurement(session, options).run();
}

}  // namespace gossip::bench
