// SPDX-License-Identifier: Apache-2.0
// Trains a network on Fashion-MNIST: each rank on its own part of the images, with any optimizer of
// the library. Writes config.toml, metrics.rank<N>.jsonl and result.json; docs/metrics.md describes
// them.
#include "common/fashion_mnist.h"

#include <algorithm>
#include <optional>
#include <thread>

#include <torch/torch.h>

#include <libgossip/gossip.h>
#include <libgossip/train/label_skew.h>
#include <libgossip/train/shard.h>
#include <libgossip/transport/agreement.h>

#include "common/evaluation.h"
#include "common/model.h"
#include "common/options.h"
#include "common/run_record.h"

namespace {

using namespace gossip;
using namespace gossip::examples;

/// What one rank trains, and with what.
struct Training {
  Session& session;
  const Options& options;
  const FashionMnist& data;
  train::Shard& shard;
  RunRecord& record;
  Cnn& model;
  optim::Decentralized& optimizer;

  /// One step on batch `step` of this rank's part in `epoch`; `done` is the share of the run that
  /// is over, and `shown_epoch` the epoch of the records.
  void step(std::int64_t epoch, std::int64_t step, double done, std::int64_t shown_epoch);

  void in_rounds();
  void at_own_pace();
};

void Training::step(std::int64_t epoch, std::int64_t step, double done, std::int64_t shown_epoch) {
  const auto begin = Clock::now();
  const double rate =
      options.lr_schedule == "one-cycle" ? one_cycle_rate(options.lr, done) : options.lr;
  for (auto& group : optimizer.param_groups()) group.options().set_lr(rate);
  const Batch batch = data.train.batch(shard.indices(epoch, step));
  optimizer.zero_grad();
  const torch::Tensor loss = torch::cross_entropy_loss(model->forward(batch.images), batch.labels);
  loss.backward();
  if (session.rank() == options.slow.rank) {
    const double slower = (options.slow.factor - 1) * seconds_between(begin, Clock::now());
    std::this_thread::sleep_for(std::chrono::duration<double>(slower));
  }
  optimizer.step();
  record.step(optimizer, shown_epoch, loss.item<double>());
}

/// All ranks make the same steps, and evaluate together after each epoch.
void Training::in_rounds() {
  const std::int64_t steps = shard.steps_per_epoch();
  const auto total = static_cast<double>(options.epochs * steps);
  for (std::int64_t epoch = 1; epoch <= options.epochs; ++epoch) {
    for (std::int64_t i = 0; i < steps; ++i) {
      step(epoch, i, static_cast<double>(optimizer.steps()) / total, epoch);
    }
    train::EpochRecord ended = record.end_epoch(optimizer, epoch);
    evaluate(session, optimizer, model, data.test, ended);
    record.write_epoch(ended);
  }
}

/// The ranks share the steps of the job as their paces allow: a fast one goes on into further
/// epochs of its own images. Models are kept at each epoch of the job, and evaluated when all is
/// over.
void Training::at_own_pace() {
  const std::int64_t own = shard.steps_per_epoch();
  const std::int64_t job = own * session.size();  // an epoch
  const std::int64_t total = options.epochs * job;
  Snapshots snapshots;
  const auto take = [&] {
    snapshots.take(optimizer, model, record.end_epoch(optimizer, snapshots.size() + 1));
  };
  for (std::int64_t done = 0; done < total; done = optimizer.job_steps()) {
    while (done >= (snapshots.size() + 1) * job) take();
    const std::int64_t made = optimizer.steps();
    step(1 + made / own, made % own, static_cast<double>(done) / static_cast<double>(total),
         1 + done / job);
  }
  while (snapshots.size() < options.epochs - 1) take();
  train::EpochRecord last = record.end_epoch(optimizer, options.epochs);
  evaluate(session, optimizer, model, data.test, last);  // the others come when they are done
  for (const train::EpochRecord& ended : snapshots.evaluated(session, data.test)) {
    record.write_epoch(ended);
  }
  record.write_epoch(last);
}

/// What the environment says, but the kind as of --transport.
void use_transport(Session& session, const Options& options) {
  transport::TransportOptions transport = transport::transport_options_from_environment();
  transport.kind = transport::transport_kind(options.transport);
  session.use_transport(transport);
}

/// With label skew; else none, which means that all ranks share all.
std::vector<std::int64_t> samples_of_rank(const Session& session, const Options& options,
                                          const ImageDataset& images) {
  if (options.dirichlet == 0.0) return {};
  return train::label_skewed_parts(images.labels(), session.size(), options.dirichlet,
                                   options.seed)[static_cast<std::size_t>(session.rank())];
}

int run(Session& session, const Options& options) {
  const auto schedule = topology::make_schedule(options.topology, session.size(), options.seed,
                                                transport::hosts_of(session));
  std::optional<FashionMnist> data;
  std::optional<train::Shard> shard;
  std::optional<RunRecord> record;
  transport::check_together(session, [&] {
    data.emplace(load_fashion_mnist(options.data));
    shard.emplace(train::ShardOptions{.num_samples = data->train.size(),
                                      .batch_size = options.batch_size,
                                      .rank = session.rank(),
                                      .size = session.size(),
                                      .seed = options.seed,
                                      .own = samples_of_rank(session, options, data->train)});
    record.emplace(options, session, shard->steps_per_epoch());
  });

  torch::set_num_threads(options.threads > 0 ? options.threads : session.threads());
  torch::manual_seed(options.seed);
  Cnn model;
  const auto optimizer = optim::make_optimizer(options.optimizer, session, *model,
                                               make_local_optimizer(options, model->parameters()),
                                               schedule, optimizer_options(options));
  const auto entry =
      std::ranges::find(optim::optimizer_names(), options.optimizer, &optim::OptimizerName::name);
  record->start(*optimizer, entry->graphs.starts_with("none") ? "none" : schedule.name());
  Training training{session, options, *data, *shard, *record, model, *optimizer};
  if (optim::is_asynchronous(options.optimizer, optimizer_options(options))) {
    training.at_own_pace();
  } else {
    training.in_rounds();
  }
  record->finish(*optimizer);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return gossip::run_main(argc, argv, [&](Session& session) {
    std::optional<Options> options;
    const topology::Hosts hosts = transport::hosts_of(session);
    transport::check_together(
        session, [&] { options = parse_options(argc, argv, hosts, session.rank() == 0); });
    if (!options) return 0;
    transport::require_agreement(session, "configuration", options->resolved);
    if (options->transport != "auto") use_transport(session, *options);
    return run(session, *options);
  });
}
