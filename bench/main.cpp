// SPDX-License-Identifier: Apache-2.0
// Measures the library. scripts/bench starts it with the ranks that each measurement needs.
#include <set>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <libgossip/runtime/run_main.h>
#include <libgossip/transport/agreement.h>

#include "commands.h"

namespace {

/// Without LibTorch (GOSSIP_WITH_TORCH=OFF) the commands that train are not built.
constexpr bool kWithTorch = GOSSIP_WITH_TORCH != 0;

CLI::App* add_hosts(CLI::App& app, gossip::bench::HostsOptions& options) {
  CLI::App* hosts =
      app.add_subcommand("hosts", "One rank a host: steps with gossip, all-reduce and neither");
  options.bytes = 46137344;
  options.step = std::chrono::milliseconds(100);
  options.seconds = 4.0;
  hosts->add_option("--bytes", options.bytes, "Bytes of the model")->capture_default_str();
  hosts->add_option_function<int>(
      "--step", [&](int time) { options.step = std::chrono::milliseconds(time); },
      "Milliseconds that a step waits or computes (100)");
  hosts->add_option("--seconds", options.seconds, "Seconds of each contender and repetition")
      ->capture_default_str();
  hosts
      ->add_option("--exchanges-per-step", options.exchanges_per_step,
                   "Exchanges that a rank starts per step")
      ->capture_default_str();
  hosts->add_option("--figures", options.figures, "Only these, separated by commas")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember(std::set<std::string>(gossip::bench::kHostsFigures.begin(),
                                                  gossip::bench::kHostsFigures.end())));
  hosts->add_option("--link", options.link, "What limits each host's link: none, 1gbit, 10gbit")
      ->capture_default_str();
  return hosts;
}

CLI::App* add_doctor(CLI::App& app, gossip::bench::DoctorOptions& options) {
  CLI::App* doctor = app.add_subcommand(
      "doctor", "Which transports work between these hosts, how well, and what to set");
  options.time = std::chrono::seconds(60);
  doctor->add_option_function<int>(
      "--time", [&](int time) { options.time = std::chrono::seconds(time); },
      "Seconds after which no further pairs of hosts are tested (60)");
  doctor->add_option("--out", options.out, "Writes the results as JSON to this file");
  return doctor;
}

}  // namespace

int main(int argc, char** argv) {
  return gossip::run_main(argc, argv, [&](gossip::Session& session) {
    CLI::App app("Measures libgossip; prints one JSON line a metric.");
    app.require_subcommand(1);
    int repetitions = 21;
    std::size_t bytes = 46137344;
    std::size_t small_bytes = 4096;
    int rounds = 2000;
    int iterations = 50;
    gossip::bench::HostsOptions hosts_options;
    app.add_option("--repetitions", repetitions, "Measurements of each contender")
        ->capture_default_str();
    CLI::App* pair =
        app.add_subcommand("pair", "2 ranks: the pair average against memcpy and all-reduce");
    pair->add_option("--bytes", bytes, "Bytes of the vector")->capture_default_str();
    CLI::App* neighbor =
        app.add_subcommand("neighbor", "A ring: the neighbor average against Sendrecv");
    neighbor->add_option("--bytes", small_bytes, "Bytes of the vector")->capture_default_str();
    neighbor->add_option("--rounds", rounds, "Rounds of one measurement")->capture_default_str();
    CLI::App* hosts = add_hosts(app, hosts_options);
    gossip::bench::DoctorOptions doctor_options;
    CLI::App* doctor = add_doctor(app, doctor_options);
    CLI::App* drift = app.add_subcommand("drift", "How far averaging moves the mean model");
    int steps = 200;
    std::vector<std::string> only;
    drift->add_option("--steps", steps, "Steps of each rank, on average")->capture_default_str();
    CLI::App* dadao = app.add_subcommand("dadao", "1 rank: the flow of DADAO against memcpy");
    dadao->add_option("--bytes", bytes, "Bytes of each of the six vectors")->capture_default_str();
    CLI::App* setup = nullptr;
    CLI::App* checkpoint = nullptr;
    std::size_t model_bytes = 100'000'000;
    CLI::App* overhead = nullptr;
    CLI::App* optimizers = nullptr;
    if constexpr (kWithTorch) {
      setup = app.add_subcommand("setup", "Construction to the end of the first round");
      overhead = app.add_subcommand("overhead", "1 rank: GossipSGD against plain LibTorch");
      optimizers = app.add_subcommand("optimizers", "2 ranks: steps of all optimizers");
      optimizers->add_option("--only", only, "Only these, separated by commas")->delimiter(',');
      checkpoint = app.add_subcommand("checkpoint", "1 rank: what a checkpoint holds up");
      checkpoint
          ->add_option("--bytes", model_bytes, "Bytes of the model; the state is five times that")
          ->capture_default_str();
      overhead->add_option("--iterations", iterations, "Iterations of one measurement")
          ->capture_default_str();
    }
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return session.rank() == 0 ? app.exit(error) : error.get_exit_code();
    }
    using namespace gossip::bench;
    if (*pair) pair_command(session, bytes, repetitions);
    if (*neighbor) neighbor_command(session, small_bytes, rounds, repetitions);
    if (*doctor) doctor_command(session, doctor_options);
    if (*drift) drift_command(session, steps, repetitions);
    if (*dadao) dadao_command(session, bytes, repetitions);
    if (*hosts) {
      hosts_options.repetitions = repetitions;
      hosts_command(session, hosts_options);
    }
    if constexpr (kWithTorch) {
      if (*setup) setup_command(session, repetitions);
      if (*checkpoint) checkpoint_command(session, model_bytes, repetitions);
      if (*optimizers) optimizers_command(session, only, repetitions);
      if (*overhead) overhead_command(session, iterations, repetitions);
    }
    return 0;
  });
}
