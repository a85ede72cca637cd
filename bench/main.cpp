// SPDX-License-Identifier: Apache-2.0
// Measures the library. scripts/bench starts it with the ranks that each measurement needs.
#include <set>
#include <string>
#include <vector>

#include <libgossip/runtime/run_main.h>
#include <libgossip/transport/agreement.h>

#include "commands.h"
#include "common/command_line.h"

namespace {

/// Without LibTorch (GOSSIP_WITH_TORCH=OFF) the commands that train are not built.
constexpr bool kWithTorch = GOSSIP_WITH_TORCH != 0;

using gossip::examples::add_number;

constexpr std::size_t kLeastBytes = 8;
constexpr std::size_t kMostBytes = std::size_t{1} << 36U;
constexpr int kMostCount = 1'000'000'000;
constexpr int kMostMilliseconds = 3'600'000;
constexpr double kMostSeconds = 1e6;

CLI::App* add_hosts(CLI::App& app, gossip::bench::HostsOptions& options, int& milliseconds) {
  CLI::App* hosts =
      app.add_subcommand("hosts", "One rank a host: steps with gossip, all-reduce and neither");
  options.bytes = 46137344;
  options.seconds = 4.0;
  add_number(*hosts, "--bytes", options.bytes, "Bytes of the model", kLeastBytes, kMostBytes);
  add_number(*hosts, "--step", milliseconds, "Milliseconds that a step waits or computes", 0,
             kMostMilliseconds);
  add_number(*hosts, "--seconds", options.seconds, "Seconds of each contender and repetition", 0.0,
             kMostSeconds);
  add_number(*hosts, "--exchanges-per-step", options.exchanges_per_step,
             "Exchanges that a rank starts per step", 1e-6, 1e6);
  hosts->add_option("--figures", options.figures, "Only these, separated by commas")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember(std::set<std::string>(gossip::bench::kHostsFigures.begin(),
                                                  gossip::bench::kHostsFigures.end())));
  hosts->add_option("--link", options.link, "What limits each host's link: none, 1gbit, 10gbit")
      ->capture_default_str();
  return hosts;
}

CLI::App* add_doctor(CLI::App& app, gossip::bench::DoctorOptions& options, int& seconds) {
  CLI::App* doctor = app.add_subcommand(
      "doctor", "Which transports work between these hosts, how well, and what to set");
  add_number(*doctor, "--time", seconds, "Seconds after which no further pairs of hosts are tested",
             0, kMostMilliseconds);
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
    int step_milliseconds = 100;
    int doctor_seconds = 60;
    gossip::bench::HostsOptions hosts_options;
    add_number(app, "--repetitions", repetitions, "Measurements of each contender", 1, kMostCount);
    CLI::App* pair =
        app.add_subcommand("pair", "2 ranks: the pair average against memcpy and all-reduce");
    add_number(*pair, "--bytes", bytes, "Bytes of the vector", kLeastBytes, kMostBytes);
    CLI::App* neighbor =
        app.add_subcommand("neighbor", "A ring: the neighbor average against Sendrecv");
    add_number(*neighbor, "--bytes", small_bytes, "Bytes of the vector", kLeastBytes, kMostBytes);
    add_number(*neighbor, "--rounds", rounds, "Rounds of one measurement", 1, kMostCount);
    CLI::App* hosts = add_hosts(app, hosts_options, step_milliseconds);
    gossip::bench::DoctorOptions doctor_options;
    CLI::App* doctor = add_doctor(app, doctor_options, doctor_seconds);
    CLI::App* drift = app.add_subcommand("drift", "How far averaging moves the mean model");
    int steps = 200;
    std::vector<std::string> only;
    add_number(*drift, "--steps", steps, "Steps of each rank, on average", 1, kMostCount);
    CLI::App* dadao = app.add_subcommand("dadao", "1 rank: the flow of DADAO against memcpy");
    add_number(*dadao, "--bytes", bytes, "Bytes of each of the six vectors", kLeastBytes,
               kMostBytes);
    CLI::App* membership =
        app.add_subcommand("membership", "1 rank: how old a rank's news of the others are");
    int ranks = 64;
    double seconds = 6.0;
    add_number(*membership, "--ranks", ranks, "Threads that are ranks", 2, 1024);
    add_number(*membership, "--seconds", seconds, "Of which the second half counts", 1.0, 1e4);
    CLI::App* setup = nullptr;
    CLI::App* checkpoint = nullptr;
    std::size_t model_bytes = 100'000'000;
    CLI::App* overhead = nullptr;
    CLI::App* optimizers = nullptr;
    double method_seconds = 20.0;
    if constexpr (kWithTorch) {
      setup = app.add_subcommand("setup", "Construction to the end of the first round");
      overhead = app.add_subcommand("overhead", "1 rank: GossipSGD against plain LibTorch");
      optimizers = app.add_subcommand("optimizers", "2 ranks: steps of all optimizers");
      optimizers->add_option("--only", only, "Only these, separated by commas")->delimiter(',');
      add_number(*optimizers, "--seconds", method_seconds,
                 "No further repetitions of a method then", 0.0, 1e6);
      checkpoint = app.add_subcommand("checkpoint", "1 rank: what a checkpoint holds up");
      add_number(*checkpoint, "--bytes", model_bytes,
                 "Bytes of the model; the state is five times that", kLeastBytes, kMostBytes);
      add_number(*overhead, "--iterations", iterations, "Iterations of one measurement", 1,
                 kMostCount);
    }
    bool is_asked = false;
    gossip::transport::check_together(session, [&] {
      is_asked = gossip::examples::parse_command_line(app, argc, argv, session.rank() == 0);
    });
    if (!is_asked) return 0;
    hosts_options.step = std::chrono::milliseconds(step_milliseconds);
    doctor_options.time = std::chrono::seconds(doctor_seconds);
    using namespace gossip::bench;
    if (*pair) pair_command(session, bytes, repetitions);
    if (*neighbor) neighbor_command(session, small_bytes, rounds, repetitions);
    if (*doctor) doctor_command(session, doctor_options);
    if (*drift) drift_command(session, steps, repetitions);
    if (*dadao) dadao_command(session, bytes, repetitions);
    if (*membership) membership_command(session, ranks, seconds);
    if (*hosts) {
      hosts_options.repetitions = repetitions;
      hosts_command(session, hosts_options);
    }
    if constexpr (kWithTorch) {
      if (*setup) setup_command(session, repetitions);
      if (*checkpoint) checkpoint_command(session, model_bytes, repetitions);
      if (*optimizers) optimizers_command(session, only, repetitions, method_seconds);
      if (*overhead) overhead_command(session, iterations, repetitions);
    }
    return 0;
  });
}
