// SPDX-License-Identifier: Apache-2.0
// Writes the iterates of a method on a quadratic problem: in one process, or one worker a rank.
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/runtime/run_main.h>
#include <libgossip/transport/agreement.h>
#include <libgossip/transport/local/cluster.h>

#include "common/command_line.h"
#include "reference/algorithms.h"

namespace {

using gossip::test::ReferenceProblem;
using nlohmann::ordered_json;

struct Options {
  std::string problem;
  std::string algorithm;
  std::vector<std::int64_t> iterations{1, 2, 10, 100};
  std::string out;
};

/// Nothing when only help or a list was wanted.
std::optional<Options> parse(int argc, const char* const* argv, bool speaks) {
  Options options;
  bool is_list_wanted = false;
  CLI::App app("Runs a method on the quadratic problem of a JSON file and writes its iterates.");
  app.add_option("problem", options.problem, "File in the format of quadratic_n8.json");
  app.add_option("--algorithm", options.algorithm, "One that the file has parameters for");
  gossip::examples::add_number(app, "--iterations", options.iterations, "Which iterates, ascending")
      ->delimiter(',');
  app.add_option("--out", options.out, "File to write; without: standard output");
  app.add_flag("--list", is_list_wanted, "Print the algorithms");
  if (!gossip::examples::parse_command_line(app, argc, argv, speaks)) return std::nullopt;
  if (is_list_wanted) {
    if (speaks) fmt::print("{}\n", fmt::join(gossip::test::known_algorithms(), "\n"));
    return std::nullopt;
  }
  GOSSIP_CHECK(!options.problem.empty() && !options.algorithm.empty(),
               "A problem file and --algorithm are needed. --help lists the options.");
  return options;
}

/// One thread a worker.
ordered_json run_in_process(const ReferenceProblem& problem, const Options& options) {
  gossip::transport::local::Cluster cluster(problem.num_workers());
  ordered_json records;
  std::exception_ptr failure;
  std::mutex mutex;
  std::vector<std::jthread> threads;
  for (gossip::Rank rank = 0; rank < problem.num_workers(); ++rank) {
    threads.emplace_back([&, rank] {
      try {
        const auto group = cluster.group(rank);
        auto own =
            gossip::test::run_algorithm(problem, options.algorithm, *group, options.iterations);
        if (rank == 0) records = std::move(own);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
    });
  }
  threads.clear();
  if (failure) std::rethrow_exception(failure);
  return records;
}

void write(const ordered_json& result, const std::string& path) {
  const std::string text = result.dump(1) + "\n";
  if (path.empty()) {
    fmt::print("{}", text);
    return;
  }
  std::ofstream file(path);
  file << text;
  GOSSIP_CHECK(file.flush().good(), "The iterates could not be written to '{}'.", path);
}

}  // namespace

int main(int argc, char** argv) {
  return gossip::run_main(argc, argv, [&](gossip::Session& session) {
    std::optional<Options> options;
    gossip::transport::check_together(session,
                                      [&] { options = parse(argc, argv, session.rank() == 0); });
    if (!options) return EXIT_SUCCESS;
    const ReferenceProblem problem(options->problem);
    const ordered_json records = session.size() == 1
                                     ? run_in_process(problem, *options)
                                     : gossip::test::run_algorithm(problem, options->algorithm,
                                                                   session, options->iterations);
    const ordered_json parameters =
        problem.json().at("algorithms").at(options->algorithm).at("parameters");
    if (session.rank() == 0) {
      write({{"algorithms",
              {{options->algorithm, {{"parameters", parameters}, {"iterates", records}}}}}},
            options->out);
    }
    return EXIT_SUCCESS;
  });
}
