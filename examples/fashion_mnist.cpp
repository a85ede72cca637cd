// SPDX-License-Identifier: Apache-2.0 Trains a network on Fashion-MNIST: each rank on its own part
// of the images, with any optimizer of the library. Writes config.toml, metrics.rank<N>.jsonl and
// result.json; docs/metrics.md describes them.
#include "common/fashion_mnist.h"

#include <cmath>
#include <filesystem>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <torch/torch.h>

#include <libgossip/gossip.h>
#include <libgossip/train/file.h>
#include <libgossip/train/metrics.h>
#include <libgossip/train/progress.h>
#include <libgossip/train/shard.h>
#include <libgossip/transport/agreement.h>

#include "common/model.h"
#include "common/options.h"
#include "common/run_record.h"

namespace {

using namespace gossip;
using namespace gossip::examples;

struct Evaluation {
  double mean_model = 0.0;  // test accuracy of the mean of all ranks' models
  double local = 0.0;       // of this rank's model
  double distance = 0.0;    // consensus distance
};

/// Collective. The ranks divide the test images among them for the mean model; each looks at all
/// for its own.
Evaluation evaluate(Session& session, optim::Decentralized& optimizer, Cnn& model,
                    const ImageDataset& test) {
  Evaluation result;
  result.distance = optimizer.consensus_distance();
  const double total = static_cast<double>(test.size());
  optimizer.with_mean_model([&] {
    const std::int64_t first = test.size() * session.rank() / session.size();
    const std::int64_t last = test.size() * (session.rank() + 1) / session.size();
    const auto correct = static_cast<double>(num_correct(model, test, first, last - first));
    result.mean_model = transport::mean_of(session, correct) * session.size() / total;
  });
  result.local = static_cast<double>(num_correct(model, test, 0, test.size())) / total;
  return result;
}

void set_learning_rate(torch::optim::Optimizer& optimizer, const Options& options, double done) {
  const double rate =
      options.lr_schedule == "one-cycle" ? one_cycle_rate(options.lr, done) : options.lr;
  for (auto& group : optimizer.param_groups()) group.options().set_lr(rate);
}

int run(Session& session, const Options& options) {
  const auto schedule = topology::make_schedule(options.topology, session.size(), options.seed);
  std::optional<FashionMnist> data;
  std::optional<train::Shard> shard;
  std::optional<RunRecord> record;
  transport::require_agreement(session, "configuration", options.resolved);
  transport::check_together(session, [&] {
    data.emplace(load_fashion_mnist(options.data));
    shard.emplace(train::ShardOptions{.num_samples = data->train.size(),
                                      .batch_size = options.batch_size,
                                      .rank = session.rank(),
                                      .size = session.size(),
                                      .seed = options.seed});
    record.emplace(options, session, shard->steps_per_epoch());
  });

  torch::set_num_threads(options.threads > 0 ? options.threads : session.threads());
  torch::manual_seed(options.seed);
  Cnn model;
  const auto optimizer = optim::make_optimizer(
      options.optimizer, session, *model, make_local_optimizer(options, model->parameters()),
      schedule, {.order = optim::mixing_order(options.order), .local_steps = options.local_steps});
  record->start(*optimizer, options.optimizer == "allreduce" ? "none" : schedule.name());

  const auto total_steps = static_cast<double>(options.epochs * shard->steps_per_epoch());
  for (std::int64_t epoch = 1; epoch <= options.epochs; ++epoch) {
    for (std::int64_t step = 0; step < shard->steps_per_epoch(); ++step) {
      const auto begin = Clock::now();
      set_learning_rate(*optimizer, options, static_cast<double>(optimizer->steps()) / total_steps);
      const Batch batch = data->train.batch(shard->indices(epoch, step));
      optimizer->zero_grad();
      const torch::Tensor loss =
          torch::cross_entropy_loss(model->forward(batch.images), batch.labels);
      loss.backward();
      if (session.rank() == options.slowed_rank) {
        const double slower = (options.slow_factor - 1) * seconds_between(begin, Clock::now());
        std::this_thread::sleep_for(std::chrono::duration<double>(slower));
      }
      optimizer->step();
      record->step(*optimizer, epoch, loss.item<double>());
    }
    const Evaluation evaluation = evaluate(session, *optimizer, model, data->test);
    record->epoch(*optimizer, epoch, evaluation.mean_model, evaluation.local, evaluation.distance);
  }
  record->finish(*optimizer);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return gossip::run_main(argc, argv, [&](Session& session) {
    std::optional<Options> options;
    transport::check_together(
        session, [&] { options = parse_options(argc, argv, session.size(), session.rank() == 0); });
    return options ? run(session, *options) : 0;
  });
}
