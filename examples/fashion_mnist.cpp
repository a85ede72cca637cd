// SPDX-License-Identifier: Apache-2.0
// Trains a network on Fashion-MNIST: each rank on its own part of the images, with any optimizer of
// the library. Writes config.toml, metrics.rank<N>.jsonl and result.json; docs/metrics.md describes
// them.
#include "common/fashion_mnist.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <thread>

#include <torch/torch.h>

#include <libgossip/gossip.h>

#include "common/model.h"
#include "common/options.h"

namespace {

using namespace gossip;
using namespace gossip::examples;

/// The status of a run that a signal stopped: all is saved, and it is to be started again.
constexpr int kStopped = 99;

/// The test images, for `model`; both must outlive the result.
train::TestSet test_of(Cnn& model, const ImageDataset& images) {
  return {.num_samples = images.size(),
          .num_correct = [&model, &images](std::int64_t first, std::int64_t count) {
            return num_correct(model, images, first, count);
          }};
}

/// What one rank trains, and with what.
struct Training {
  Session& session;
  const Options& options;
  const FashionMnist& data;
  train::Shard& shard;
  train::RunRecord& record;
  Cnn& model;
  optim::Decentralized& optimizer;
  train::Snapshots& snapshots;
  checkpoint::Checkpointer* checkpoints;  // null: none

  /// One step on batch `step` of this rank's part in `epoch`; `done` is the share of the run that
  /// is over, and `shown_epoch` the epoch of the records.
  void step(std::int64_t epoch, std::int64_t step, double done, std::int64_t shown_epoch);

  /// False when a signal stopped it, and all is saved.
  bool in_rounds();
  bool at_own_pace();

  /// Ends this process when it waits in vain for a rank that is lost: nothing can be done together
  /// any more. Only with --on-lost-neighbor drop.
  void finish_alone_if_ranks_are_lost();

  [[nodiscard]] bool is_stopped() const {
    return checkpoints != nullptr && checkpoints->after_step();
  }
  [[nodiscard]] bool is_stopped_at_end() const {
    return checkpoints != nullptr && checkpoints->finish();
  }

  /// Those before a resume included.
  [[nodiscard]] std::int64_t steps() const {
    return checkpoints != nullptr ? checkpoints->steps() : optimizer.steps();
  }
  [[nodiscard]] std::int64_t job_steps() const {
    return checkpoints != nullptr ? checkpoints->job_steps() : optimizer.job_steps();
  }
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

/// All ranks make the same steps, and evaluate together after each epoch. A run that goes on may do
/// so in the middle of an epoch, or at its end, before the evaluation.
bool Training::in_rounds() {
  const std::int64_t per_epoch = shard.steps_per_epoch();
  const auto total = static_cast<double>(options.epochs * per_epoch);
  const std::int64_t first = 1 + std::max<std::int64_t>(0, steps() - 1) / per_epoch;
  for (std::int64_t epoch = std::min(first, options.epochs); epoch <= options.epochs; ++epoch) {
    for (std::int64_t i = steps() - (epoch - 1) * per_epoch; i < per_epoch; ++i) {
      step(epoch, i, static_cast<double>(steps()) / total, epoch);
      if (is_stopped()) return false;
    }
    train::EpochRecord ended = record.end_epoch(optimizer, epoch);
    train::evaluate(session, optimizer, test_of(model, data.test), ended);
    record.write_epoch(ended);
  }
  return !is_stopped_at_end();
}

/// The ranks share the steps of the job as their paces allow: a fast one goes on into further
/// epochs of its own images. Models are kept at each epoch of the job, and evaluated when all is
/// over.
bool Training::at_own_pace() {
  const std::int64_t own = shard.steps_per_epoch();
  const std::int64_t job = own * session.size();  // an epoch
  const std::int64_t total = options.epochs * job;
  const auto take = [&] {
    snapshots.take(optimizer, record.end_epoch(optimizer, snapshots.ended() + 1));
  };
  for (std::int64_t done = job_steps(); done < total; done = job_steps()) {
    while (done >= (snapshots.ended() + 1) * job) take();
    const std::int64_t made = steps();
    step(1 + made / own, made % own, static_cast<double>(done) / static_cast<double>(total),
         1 + done / job);
    if (is_stopped()) return false;
  }
  finish_alone_if_ranks_are_lost();
  if (is_stopped_at_end()) return false;
  while (snapshots.ended() < options.epochs - 1) take();
  train::EpochRecord last = record.end_epoch(optimizer, options.epochs);
  // The others come when they are done.
  train::evaluate(session, optimizer, test_of(model, data.test), last);
  Cnn kept;
  for (const train::EpochRecord& epoch :
       snapshots.evaluated(session, *kept, test_of(kept, data.test))) {
    record.write_epoch(epoch);
  }
  record.write_epoch(last);
  return true;
}

void Training::finish_alone_if_ranks_are_lost() {
  const optim::OptimizerOptions settings = optimizer_options(options);
  if (settings.on_lost_neighbor != optim::OnLostNeighbor::kDrop) return;
  double here = 1.0;
  try {
    const auto all = session.world().make_mean(std::span(&here, 1), settings.timeout);
    all->start();
    all->wait();
    return;
  } catch (const TimeoutError&) {
    log(LogLevel::kWarning, session.rank(),
        "not all ranks have come to the end of the run: it ends without them, and without a mean "
        "model");
  }
  train::EpochRecord last = record.end_epoch(optimizer, options.epochs);
  last.test_accuracy_local = train::accuracy_of(test_of(model, data.test));
  record.finish_alone(optimizer, last);
  std::fflush(nullptr);
  std::_Exit(EXIT_SUCCESS);  // MPI_Finalize would wait for the lost ranks
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

/// The checkpoints of --checkpoint.
std::unique_ptr<checkpoint::Checkpointer> make_checkpoints(Session& session, const Options& options,
                                                           Cnn& model,
                                                           optim::Decentralized& optimizer,
                                                           train::RunRecord& record,
                                                           train::Snapshots& snapshots) {
  if (options.checkpoint.empty()) return nullptr;
  auto checkpoints = std::make_unique<checkpoint::Checkpointer>(
      session, *model, optimizer,
      checkpoint::CheckpointOptions{.folder = options.checkpoint,
                                    .every_steps = options.every.steps,
                                    .every = options.every.time,
                                    .keep = options.keep,
                                    .resumes_from_mean = options.resume_from_mean});
  checkpoints->add("record", record.part(optimizer));
  checkpoints->add("snapshots", snapshots.part());
  return checkpoints;
}

/// Takes their folder, if there are any; with --resume the run is as it was.
std::optional<checkpoint::Resumed> take_folder(checkpoint::Checkpointer* checkpoints,
                                               const Options& options) {
  if (checkpoints == nullptr) return std::nullopt;
  if (options.resume) return checkpoints->resume();
  checkpoints->start();
  return std::nullopt;
}

int run(Session& session, const Options& options) {
  const auto schedule = topology::make_schedule(options.topology, session.size(), options.seed,
                                                transport::hosts_of(session));
  std::optional<FashionMnist> data;
  std::optional<train::Shard> shard;
  std::optional<train::RunRecord> record;
  transport::check_together(session, [&] {
    data.emplace(load_fashion_mnist(options.data));
    shard.emplace(train::ShardOptions{.num_samples = data->train.size(),
                                      .batch_size = options.batch_size,
                                      .rank = session.rank(),
                                      .size = session.size(),
                                      .seed = options.seed,
                                      .own = samples_of_rank(session, options, data->train)});
    record.emplace(session, record_options(options, shard->steps_per_epoch()));
  });

  torch::set_num_threads(options.threads > 0 ? options.threads : session.threads());
  torch::manual_seed(options.seed);
  Cnn model;
  const auto optimizer = optim::make_optimizer(options.optimizer, session, *model,
                                               make_local_optimizer(options, model->parameters()),
                                               schedule, optimizer_options(options));
  const auto entry =
      std::ranges::find(optim::optimizer_names(), options.optimizer, &optim::OptimizerName::name);
  train::Snapshots snapshots(*model);
  const auto checkpoints =
      make_checkpoints(session, options, model, *optimizer, *record, snapshots);
  const std::optional<checkpoint::Resumed> from = take_folder(checkpoints.get(), options);
  record->start(*optimizer, entry->graphs.starts_with("none") ? "none" : schedule.name(), from);
  if (from) record->resumed(*from, *checkpoints, *optimizer);
  if (from && !from->is_exact) {
    snapshots.skip(checkpoints->job_steps() / (shard->steps_per_epoch() * session.size()));
  }
  Training training{session, options,    *data,     *shard,           *record,
                    model,   *optimizer, snapshots, checkpoints.get()};
  const bool is_over = optimizer->is_synchronous() ? training.in_rounds() : training.at_own_pace();
  if (!is_over) return kStopped;
  record->finish(*optimizer);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // From the start: a signal that comes before the first step is not to be lost.
  std::optional<StopSignals> signals(std::in_place);
  return gossip::run_main(argc, argv, [&](Session& session) {
    std::optional<Options> options;
    const topology::Hosts hosts = transport::hosts_of(session);
    transport::check_together(
        session, [&] { options = parse_options(argc, argv, hosts, session.rank() == 0); });
    if (!options) return 0;
    if (options->checkpoint.empty()) {
      signals.reset();
      StopSignals::pass_on();
    }
    transport::require_agreement(session, "configuration", options->resolved);
    if (options->transport != "auto") use_transport(session, *options);
    return run(session, *options);
  });
}
