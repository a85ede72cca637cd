// SPDX-License-Identifier: Apache-2.0
#include "common/options.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <sstream>
#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <libgossip/base/error.h>
#include <libgossip/base/suggest.h>
#include <libgossip/optim/factory.h>
#include <libgossip/topology/factory.h>
#include <libgossip/transport/transport_options.h>

#include "common/command_line.h"
#include "common/fashion_mnist.h"

namespace gossip::examples {
namespace {

const std::vector<std::string> kLocalOptimizers{"sgd", "adam", "adamw"};
constexpr double kMostSeconds = 1e6;
constexpr double kMostExchanges = 1e6;
constexpr std::int64_t kMostEpochs = 1'000'000;
constexpr int kMostThreads = 65536;
const std::vector<std::string> kLrSchedules{"one-cycle", "constant"};

/// The line of a file of options. Throws CLI::ConfigError when a text in it does not end.
std::string_view without_comment(std::string_view line) {
  char quote = '\0';  // around the text that this is in
  char before = '=';  // the last character that is no blank
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '#') {
      return line.substr(0, i);
    } else if ((c == '"' || c == '\'') && (before == '=' || before == ',' || before == '[')) {
      quote = c;
    }
    if (c != ' ' && c != '\t') before = c;
  }
  if (quote != '\0') throw CLI::ConfigError(fmt::format("{}: the text has no end", line));
  return line;
}

/// TOML as CLI11 reads it, but for a '#' inside quotes, which begins no comment.
class OptionFile final : public CLI::ConfigBase {
 public:
  OptionFile() { comment('\n'); }  // comments are gone before CLI11 looks for them

  [[nodiscard]] std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::stringstream text;
    for (std::string line; std::getline(input, line);) text << without_comment(line) << '\n';
    return CLI::ConfigBase::from_config(text);
  }
};

/// Whether a file of options that holds the text gives it back.
bool is_kept(const std::string& text) {
  std::istringstream line("text=" + CLI::detail::convert_arg_for_ini(text));
  try {
    const std::vector<CLI::ConfigItem> items = OptionFile().from_config(line);
    return items.size() == 1 && items.front().inputs == std::vector{text};
  } catch (const CLI::ConfigError&) {
    return false;
  }
}

void check_texts(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_configurable()) continue;
    for (const std::string& text : option->results()) {
      GOSSIP_CHECK(is_kept(text),
                   "{}: config.toml, from which a run can be repeated, cannot hold the text '{}': "
                   "it must be one line, with quotes of one kind at most and none around it.",
                   option->get_name(), text);
    }
  }
}

void check_name(std::string_view kind, const std::string& name,
                const std::vector<std::string>& known) {
  GOSSIP_CHECK(std::find(known.begin(), known.end(), name) != known.end(), "{}",
               unknown_name(kind, name, known));
}

void print_list() {
  fmt::print("Optimizers (--optimizer):\n");
  for (const optim::OptimizerName& entry : optim::optimizer_names()) {
    fmt::print("  {:<26} {} ({})\n", entry.name, entry.description, entry.paper);
    fmt::print("  {:<26}   state: {} vectors; on the wire: {}; graphs: {}\n", "", entry.state,
               entry.wire, entry.graphs);
  }
  fmt::print("Topologies (--topology):\n");
  for (const topology::TopologyName& entry : topology::topology_names()) {
    fmt::print("  {:<29} {}\n", entry.name, entry.description);
  }
  fmt::print("Transports (--transport):        {}\n",
             fmt::join(transport::transport_names(), ", "));
  fmt::print("Local optimizers:                {}\n", fmt::join(kLocalOptimizers, ", "));
  fmt::print("Learning-rate schedules:         {}\n", fmt::join(kLrSchedules, ", "));
}

void add_options(CLI::App& app, Options& o, bool& is_list_wanted) {
  app.set_config("--config", "", "Read options from this TOML file; the command line wins");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.config_formatter(std::make_shared<OptionFile>());
  app.add_flag("--list", is_list_wanted, "Print the names that the options take")
      ->configurable(false);
  app.add_option("--optimizer", o.optimizer, "Distributed optimizer")->capture_default_str();
  app.add_option("--topology", o.topology, "Who talks to whom")->capture_default_str();
  app.add_option("--transport", o.transport, "How bytes move: auto, shared, rma or message")
      ->capture_default_str();
  app.add_option("--order", o.order, "gossip-sgd: atc, cta or diffusion")->capture_default_str();
  add_number(app, "--local-steps", o.local_steps, "Steps between two mixings");
  add_number(app, "--outer-steps", o.outer_steps,
             "hierarchical-local-sgd: steps between two means of all");
  add_number(app, "--group-size", o.group_size, "hierarchical-local-sgd: ranks of a group");
  add_number(app, "--switch-step", o.switch_step, "local-sgd: mean of all in every step before");
  app.add_option("--tracking-order", o.tracking_order, "gradient-tracking: semi-atc, diging or atc")
      ->capture_default_str();
  add_number(app, "--method-momentum", o.method_momentum,
             "Momentum of slowmo, diloco, qg-dsgdm, decentlam, momentum-tracking");
  add_number(app, "--outer-lr", o.outer_lr, "diloco: learning rate of the outer optimizer");
  add_number(app, "--fragments", o.fragments, "diloco: parts of the model that take turns");
  add_number(app, "--active", o.active, "push-pull-device-sampling: share of active ranks");
  add_number(app, "--compression", o.compression,
             "choco-sgd, deep-squeeze, ef-sgd: share of the entries that is sent");
  add_number(app, "--consensus-rate", o.consensus_rate, "choco-sgd, deep-squeeze: gamma");
  app.add_flag("--lazy,!--not-lazy", o.lazy, "exact-diffusion, led: mix with (I + W) / 2")
      ->capture_default_str();
  add_number(app, "--exchanges-per-step", o.exchanges_per_step,
             "ad-psgd, a2cid2: exchanges that a rank starts per step");
  add_number(app, "--lipschitz", o.lipschitz,
             "dadao: L of the loss; 0: 1 / (4 lr), so that gradients move the model by lr");
  add_number(app, "--safety", o.safety, "dadao: pair events, in multiples of the least rate");
  app.add_flag("--overlap", o.overlap, "push-sum: nobody waits");
  app.add_option("--on-lost-neighbor", o.on_lost_neighbor,
                 "When a neighbor is silent too long: error, or drop it and go on")
      ->capture_default_str();
  add_number(app, "--neighbor-timeout", o.neighbor_timeout, "Seconds that are too long");
  add_number(app, "--dirichlet", o.dirichlet,
             "Ranks get classes by this Dirichlet concentration, such as 0.1; 0: all alike");
  app.add_option("--local-optimizer", o.local_optimizer, "sgd, adam or adamw")
      ->capture_default_str();
  app.add_option("--lr-schedule", o.lr_schedule, "one-cycle or constant")->capture_default_str();
  add_number(app, "--epochs", o.epochs, "Training epochs");
  add_number(app, "--batch-size", o.batch_size, "Images of a batch of each rank");
  add_number(app, "--lr", o.lr, "Learning rate (peak of the schedule)");
  add_number(app, "--momentum", o.momentum, "Momentum of sgd (Nesterov)");
  add_number(app, "--weight-decay", o.weight_decay, "Weight decay");
  add_number(app, "--seed", o.seed, "Seed of model, data order and random topologies");
  add_number(app, "--threads", o.threads, "Threads a rank; 0: its share of the cores");
  app.add_option("--data", o.data, "Folder with the four idx files, packed (.gz) or not")
      ->capture_default_str();
  app.add_option("--out", o.out, "Folder for metrics and results")->capture_default_str();
  add_number(app, "--log-every", o.log_every, "Steps between two step records");
  app.add_option("--slow-rank", o.slow_rank, "R:FACTOR makes rank R FACTOR times slower")
      ->capture_default_str();
  app.add_option(
      "--checkpoint", o.checkpoint,
      "Folder for checkpoints; one is written when SIGUSR1, SIGUSR2 or SIGTERM comes, and "
      "the run ends with status 99");
  app.add_option("--checkpoint-every", o.checkpoint_every,
                 "Also every so many steps (500) or so often (90s, 10m, 2h)");
  add_number(app, "--keep", o.keep, "Checkpoints that stay");
  app.add_flag("--resume", o.resume, "Go on from the newest checkpoint, if there is one");
  app.add_flag("--resume-from-mean", o.resume_from_mean,
               "The same from the mean model of the ranks whose files are there");
}

void check_ranges(const Options& o) {
  GOSSIP_CHECK(std::isfinite(o.lr) && o.lr > 0, "--lr is {}: it must be a positive number.", o.lr);
  GOSSIP_CHECK(o.momentum >= 0 && o.momentum < 1,
               "--momentum is {}: it must be at least 0 and below 1.", o.momentum);
  GOSSIP_CHECK(std::isfinite(o.weight_decay) && o.weight_decay >= 0,
               "--weight-decay is {}: it must be a number of at least 0.", o.weight_decay);
  GOSSIP_CHECK(o.epochs >= 1 && o.epochs <= kMostEpochs,
               "--epochs is {}: it must be between 1 and {}.", o.epochs, kMostEpochs);
  GOSSIP_CHECK(o.batch_size >= 1, "--batch-size is {}: it must be at least 1.", o.batch_size);
  GOSSIP_CHECK(o.local_steps >= 1, "--local-steps is {}: it must be at least 1.", o.local_steps);
  GOSSIP_CHECK(o.exchanges_per_step > 0 && o.exchanges_per_step <= kMostExchanges,
               "--exchanges-per-step is {}: it must be a positive number, at most {}.",
               o.exchanges_per_step, kMostExchanges);
  GOSSIP_CHECK(o.neighbor_timeout >= 0.001 && o.neighbor_timeout <= kMostSeconds,
               "--neighbor-timeout is {}: it must be between 0.001 and {} seconds.",
               o.neighbor_timeout, kMostSeconds);
  GOSSIP_CHECK(std::isfinite(o.dirichlet) && o.dirichlet >= 0,
               "--dirichlet is {}: it must be a positive number, or 0 for data that do not differ.",
               o.dirichlet);
  GOSSIP_CHECK(o.log_every >= 1, "--log-every is {}: it must be at least 1.", o.log_every);
  GOSSIP_CHECK(o.keep >= 1, "--keep is {}: it must be at least 1.", o.keep);
  GOSSIP_CHECK(
      !o.checkpoint.empty() || (!o.resume && !o.resume_from_mean && o.checkpoint_every.empty()),
      "--resume and --checkpoint-every need the folder of the checkpoints: --checkpoint.");
  GOSSIP_CHECK(o.threads >= 0 && o.threads <= kMostThreads,
               "--threads is {}: it must be between 1 and {}, or 0 for the rank's share.",
               o.threads, kMostThreads);
}

}  // namespace

std::optional<Options> parse_options(int argc, const char* const* argv,
                                     const topology::Hosts& hosts, bool speaks) {
  Options options;
  options.data = kFashionMnistFolder;
  CLI::App app(
      "Trains a network on Fashion-MNIST, every rank on its own part, by gossip or by all-reduce.");
  bool is_list_wanted = false;
  add_options(app, options, is_list_wanted);
  if (!parse_command_line(app, argc, argv, speaks)) return std::nullopt;
  if (is_list_wanted) {
    if (speaks) print_list();
    return std::nullopt;
  }
  check_texts(app);
  optim::check_optimizer_name(options.optimizer);
  static_cast<void>(optim::mixing_order(options.order));
  static_cast<void>(optim::tracking_order(options.tracking_order));
  static_cast<void>(topology::make_schedule(options.topology, hosts.size(), options.seed, hosts));
  static_cast<void>(optim::on_lost_neighbor(options.on_lost_neighbor));
  static_cast<void>(transport::transport_kind(options.transport));
  check_name("local optimizer", options.local_optimizer, kLocalOptimizers);
  check_name("learning-rate schedule", options.lr_schedule, kLrSchedules);
  check_ranges(options);
  options.every = read_checkpoint_every(options.checkpoint_every);
  options.resume |= options.resume_from_mean;
  if (!options.slow_rank.empty()) options.slow = read_slow_rank(options.slow_rank, hosts.size());
  options.resolved = app.config_to_str(true, false);
  return options;
}

optim::OptimizerOptions optimizer_options(const Options& options) {
  const std::chrono::duration<double> timeout(options.neighbor_timeout);
  return {.order = optim::mixing_order(options.order),
          .tracking_order = optim::tracking_order(options.tracking_order),
          .local_steps = options.local_steps,
          .outer_steps = options.outer_steps,
          .switch_step = options.switch_step,
          .group_size = options.group_size,
          .method_momentum = options.method_momentum,
          .outer_rate = options.outer_lr,
          .fragments = options.fragments,
          .lazy = options.lazy,
          .active = options.active,
          .compression = options.compression,
          .consensus_rate = options.consensus_rate,
          .exchanges_per_step = options.exchanges_per_step,
          .weight_decay = options.weight_decay,
          .lipschitz = options.lipschitz != 0.0 ? options.lipschitz : 1.0 / (4.0 * options.lr),
          .safety = options.safety,
          .overlap = options.overlap,
          .seed = options.seed,
          .on_lost_neighbor = optim::on_lost_neighbor(options.on_lost_neighbor),
          .timeout = in_milliseconds(timeout)};
}

train::RunRecordOptions record_options(const Options& options, std::int64_t steps_per_epoch) {
  return {.folder = options.out,
          .config = options.resolved,
          .epochs = options.epochs,
          .steps_per_epoch = steps_per_epoch,
          .batch_size = options.batch_size,
          .log_every = options.log_every,
          .settings = {{"local_optimizer", options.local_optimizer},
                       {"batch_size", options.batch_size},
                       {"seed", options.seed}},
          .sampling = {{"batch-size", options.batch_size},
                       {"seed", options.seed},
                       {"dirichlet", options.dirichlet}}};
}

std::unique_ptr<torch::optim::Optimizer> make_local_optimizer(
    const Options& options, const std::vector<at::Tensor>& parameters) {
  if (options.local_optimizer == "adam") {
    return std::make_unique<torch::optim::Adam>(
        parameters, torch::optim::AdamOptions(options.lr).weight_decay(options.weight_decay));
  }
  if (options.local_optimizer == "adamw") {
    return std::make_unique<torch::optim::AdamW>(
        parameters, torch::optim::AdamWOptions(options.lr).weight_decay(options.weight_decay));
  }
  return std::make_unique<torch::optim::SGD>(parameters, torch::optim::SGDOptions(options.lr)
                                                             .momentum(options.momentum)
                                                             .weight_decay(options.weight_decay)
                                                             .nesterov(options.momentum > 0));
}

}  // namespace gossip::examples
