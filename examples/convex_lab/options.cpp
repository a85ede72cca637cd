// SPDX-License-Identifier: Apache-2.0
#include "convex_lab/options.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/topology/factory.h>

#include "common/command_line.h"
#include "common/slow_rank.h"
#include "convex_lab/methods.h"

namespace gossip::examples {
namespace {

void add_problem(CLI::App& app, LabOptions& o) {
  app.add_option("--problem", o.problem,
                 "quad, quadratic, logistic, fashion-mnist[:CLASS,CLASS] or libsvm:FILE")
      ->capture_default_str();
  add_number(app, "--dimension", o.dimension, "Unknowns of a made-up problem");
  add_number(app, "--samples", o.samples, "Components of a worker's function");
  add_number(app, "--mu", o.mu,
             "Strong convexity; 1 unless given, by --kappa where L is the data's");
  add_number(app, "--L", o.lipschitz, "Smoothness of a made-up problem; kappa mu unless given");
  add_number(app, "--kappa", o.condition, "L / mu");
  add_number(app, "--heterogeneity", o.heterogeneity,
             "How much workers differ: a factor (1), or of samples from a file the share dealt "
             "by label (0)");
  app.add_option("--data", o.data, "Folder with Fashion-MNIST")->capture_default_str();
}

void add_run(CLI::App& app, LabOptions& o) {
  add_number(app, "--workers", o.workers, "In virtual time; on ranks there is one a rank");
  app.add_option("--method", o.methods, "One or more, run after each other; --list shows them")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--topology", o.topologies, "One, or several that take turns; --list shows them")
      ->delimiter(',')
      ->capture_default_str();
  add_number(app, "--graph-period", o.graph_period, "Time, or rounds, that each of several lasts");
  add_number(app, "--safety", o.safety, "dadao: times the least rate of events (2; --replay: 1)");
  app.add_flag("--bear-divergence", o.bears_divergence, "dadao: takes a --safety below 1");
  add_number(app, "--lr", o.lr, "Step of the methods that have one; by their theory unless given");
  add_number(app, "--events-per-gradient", o.events_per_gradient,
             "ad-psgd, a2cid2: events that a worker takes part in a gradient");
  add_number(app, "--active", o.active, "push-pull-device-sampling: share of active workers");
  app.add_option("--slow-rank", o.slow_ranks, "R:FACTOR makes worker R FACTOR times slower")
      ->delimiter(',');
  add_number(app, "--seed", o.seed, "Of problem and events");
  add_number(app, "--accuracy", o.accuracy, "Ends when the mean of |x_i - x*|^2 is this share");
  add_number(app, "--until", o.until, "Ends at this model time; 0: no limit");
  add_number(app, "--max-gradients", o.max_gradients, "Ends after so many of a worker");
  add_number(app, "--gradient-seconds", o.gradient_seconds, "On ranks: that a gradient takes");
  app.add_option("--out", o.out, "File of JSON lines to write; of --replay: the JSON file");
}

void add_replay(CLI::App& app, LabOptions& o) {
  app.add_option("--replay", o.replay,
                 "Replays dadao event by event on the problem of this JSON file");
  add_number(app, "--events", o.events, "--replay: after which events, ascending")->delimiter(',');
}

void print_lists() {
  fmt::print("Methods:\n");
  for (const LabMethodName& method : lab_methods()) {
    fmt::print("  {:26} {}\n", method.name, method.description);
  }
  fmt::print(
      "\nProblems:\n"
      "  {:26} the quadratic one without a generator of docs/dadao.md\n"
      "  {:26} quadratic, with --heterogeneity\n"
      "  {:26} logistic regression on made-up samples, with --heterogeneity\n"
      "  {:26} logistic regression on two of the classes\n"
      "  {:26} logistic regression on a file of LIBSVM\n"
      "\nTopologies:\n",
      "quad", "quadratic", "logistic", "fashion-mnist:CLASS,CLASS", "libsvm:FILE");
  for (const topology::TopologyName& topology : topology::topology_names()) {
    if (topology.name.starts_with("hierarchical-")) continue;  // the lab's workers have no hosts
    fmt::print("  {:26} {}\n", topology.name, topology.description);
  }
}

void check_positive(const char* option, double value) {
  GOSSIP_CHECK(std::isfinite(value) && value > 0, "{} is {}: it must be a positive number.", option,
               value);
}

/// What is made up is kept in memory, a number for each.
void check_size(const LabOptions& o) {
  constexpr double kMost = 1 << 28;
  const double numbers = static_cast<double>(o.workers) * static_cast<double>(o.dimension) *
                         static_cast<double>(o.samples);
  GOSSIP_CHECK(numbers <= kMost,
               "--workers {}, --dimension {} and --samples {} stand for {:.3g} numbers, more than "
               "the {:.0f} that are made up at most.",
               o.workers, o.dimension, o.samples, numbers, kMost);
}

void check_ranges(const LabOptions& o) {
  constexpr int kMostWorkers = 16384;  // of a complete graph
  GOSSIP_CHECK(o.workers >= 2 && o.workers <= kMostWorkers,
               "--workers is {}: it must be between 2 and {}.", o.workers, kMostWorkers);
  GOSSIP_CHECK(o.dimension >= 1, "--dimension is 0: it must be at least 1.");
  GOSSIP_CHECK(o.samples >= 1, "--samples is 0: it must be at least 1.");
  check_size(o);
  GOSSIP_CHECK(std::isfinite(o.condition) && o.condition >= 1,
               "--kappa is {}: it must be a number of at least 1.", o.condition);
  GOSSIP_CHECK(o.accuracy > 0 && o.accuracy < 1, "--accuracy is {}: it must be between 0 and 1.",
               o.accuracy);
  GOSSIP_CHECK(o.until >= 0, "--until is {}: it must be at least 0.", o.until);
  constexpr double kMostSeconds = 1e6;
  GOSSIP_CHECK(o.gradient_seconds >= 0 && o.gradient_seconds <= kMostSeconds,
               "--gradient-seconds is {}: it must be between 0 and {}.", o.gradient_seconds,
               kMostSeconds);
  GOSSIP_CHECK(o.active > 0 && o.active <= 1, "--active is {}: it must be above 0 and at most 1.",
               o.active);
  check_positive("--max-gradients", o.max_gradients);
  constexpr double kLeastPeriod = 1e-3;
  constexpr double kMostPeriod = 1e6;
  GOSSIP_CHECK(o.graph_period >= kLeastPeriod && o.graph_period <= kMostPeriod,
               "--graph-period is {}: it must be between {} and {}.", o.graph_period, kLeastPeriod,
               kMostPeriod);
  check_positive("--events-per-gradient", o.events_per_gradient);
  if (o.mu) check_positive("--mu", *o.mu);
  if (o.mu && o.lipschitz) check_curvature(*o.mu, *o.lipschitz);
  if (o.lr) check_positive("--lr", *o.lr);
  if (!o.safety) return;
  check_positive("--safety", *o.safety);
  GOSSIP_CHECK(*o.safety >= 1 || o.bears_divergence,
               "--safety is {}: below 1 there are fewer events than dadao needs, and it diverges. "
               "--bear-divergence runs it all the same.",
               *o.safety);
}

void read_slow_ranks(LabOptions& o) {
  o.slowness.assign(static_cast<std::size_t>(o.workers), 1.0);
  for (const std::string& text : o.slow_ranks) {
    const SlowRank slow = read_slow_rank(text, o.workers);
    o.slowness[static_cast<std::size_t>(slow.rank)] = slow.factor;
  }
}

void make_graphs(LabOptions& o) {
  for (const std::string& name : o.topologies) {
    topology::Graph graph =
        topology::make_graph(name == "line" ? "path" : std::string_view(name), o.workers, o.seed);
    GOSSIP_CHECK(graph.is_undirected(),
                 "The topology '{}' is directed: the lab's methods need edges both ways.", name);
    if (const auto gap = graph.find_unreachable()) {
      throw Error(
          fmt::format("The topology '{}' is not connected: there is no way from worker {} "
                      "to worker {}.",
                      name, gap->sender, gap->receiver));
    }
    o.graphs.push_back(std::move(graph));
  }
}

}  // namespace

std::optional<LabOptions> parse_lab_options(int argc, const char* const* argv, int size,
                                            bool speaks) {
  LabOptions options;
  bool is_list_wanted = false;
  CLI::App app("Runs decentralized methods on a convex problem, in virtual time or on ranks.");
  add_problem(app, options);
  add_run(app, options);
  add_replay(app, options);
  app.add_flag("--list", is_list_wanted, "Print methods, problems and topologies");
  if (!parse_command_line(app, argc, argv, speaks)) return std::nullopt;
  if (is_list_wanted) {
    if (speaks) print_lists();
    return std::nullopt;
  }
  GOSSIP_CHECK(size == 1 || app.count("--workers") == 0 || options.workers == size,
               "--workers is {}, but there are {} ranks: on ranks there is one worker a rank.",
               options.workers, size);
  if (size > 1) options.workers = size;
  options.resolved = app.config_to_str(true, false);
  check_ranges(options);
  for (const std::string& method : options.methods) static_cast<void>(kind_of(method));
  if (!options.replay.empty()) return options;
  read_slow_ranks(options);
  make_graphs(options);
  return options;
}

}  // namespace gossip::examples
