// SPDX-License-Identifier: Apache-2.0
#include "common/run_record.h"

#include <cmath>

#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/train/file.h>
#include <libgossip/transport/group.h>

namespace gossip::examples {
namespace {

double learning_rate(const optim::Decentralized& optimizer) {
  return optimizer.param_groups().front().options().get_lr();
}

}  // namespace

RunRecord::RunRecord(const Options& options, Session& session, std::int64_t steps_per_epoch)
    : options_(options),
      session_(session),
      metrics_(options.out, session.rank(), session.size()),
      progress_(
          {.rank = session.rank(), .epochs = options.epochs, .steps_per_epoch = steps_per_epoch}) {
  if (session.rank() == 0) train::replace_file(metrics_.folder() / "config.toml", options.resolved);
}

void RunRecord::start(const optim::Decentralized& optimizer, const std::string& topology) {
  start_ = {.optimizer = std::string(optimizer.name()),
            .topology = topology,
            .transport = std::string(session_.world().transport()),
            .parameters = optimizer.flat_model().num_elements(),
            .extra = {{"local_optimizer", options_.local_optimizer},
                      {"batch_size", options_.batch_size},
                      {"seed", static_cast<std::int64_t>(options_.seed)},
                      {"bytes_nominal", optimizer.name() == "allreduce"}}};
  metrics_.write_start(start_);
  begin_ = epoch_begin_ = Clock::now();
}

train::Totals RunRecord::totals(const optim::Decentralized& optimizer) const {
  const engine::Counters counters = optimizer.counters();
  return {.step = optimizer.steps(),
          .samples = optimizer.steps() * options_.batch_size,
          .seconds = seconds_between(begin_, Clock::now()),
          .gossip_rounds = counters.gossip_rounds,
          .bytes_sent = static_cast<std::int64_t>(counters.bytes_sent),
          .bytes_received = static_cast<std::int64_t>(counters.bytes_received),
          .wait_seconds = counters.wait_seconds};
}

double RunRecord::images_per_second() const {
  const auto images = static_cast<double>(steps_of_epoch_ * options_.batch_size * session_.size());
  return images / seconds_between(epoch_begin_, last_step_);
}

void RunRecord::check_loss(const optim::Decentralized& optimizer, std::int64_t epoch, double loss) {
  if (std::isfinite(loss)) return;
  metrics_.write_epoch({.epoch = epoch,
                        .totals = totals(optimizer),
                        .loss = loss,
                        .lr = learning_rate(optimizer),
                        .status = train::Status::kDiverged});
  throw Error(fmt::format(
      "The loss is {} on rank {} in step {}: training diverged at learning rate {}. Try a lower "
      "--lr.",
      loss, session_.rank(), optimizer.steps(), learning_rate(optimizer)));
}

void RunRecord::step(const optim::Decentralized& optimizer, std::int64_t epoch, double loss) {
  check_loss(optimizer, epoch, loss);
  loss_since_record_ += loss;
  loss_of_epoch_ += loss;
  ++steps_since_record_;
  ++steps_of_epoch_;
  last_step_ = Clock::now();
  if (progress_.is_due()) {
    progress_.update({.epoch = epoch,
                      .step = optimizer.steps(),
                      .images_per_second = images_per_second(),
                      .loss = loss_since_record_ / static_cast<double>(steps_since_record_),
                      .consensus_distance = last_.consensus_distance});
  }
  if (optimizer.steps() % options_.log_every != 0) return;
  metrics_.write_step({.epoch = epoch,
                       .totals = totals(optimizer),
                       .loss = loss_since_record_ / static_cast<double>(steps_since_record_),
                       .lr = learning_rate(optimizer),
                       .images_per_second = images_per_second()});
  loss_since_record_ = 0.0;
  steps_since_record_ = 0;
}

void RunRecord::epoch(const optim::Decentralized& optimizer, std::int64_t epoch,
                      double accuracy_mean_model, double accuracy_local,
                      double consensus_distance) {
  training_seconds_ += seconds_between(epoch_begin_, last_step_);
  last_ = {.epoch = epoch,
           .totals = totals(optimizer),
           .loss = loss_of_epoch_ / static_cast<double>(steps_of_epoch_),
           .lr = learning_rate(optimizer),
           .test_accuracy_mean_model = accuracy_mean_model,
           .test_accuracy_local = accuracy_local,
           .consensus_distance = consensus_distance,
           .images_per_second = images_per_second(),
           .status = epoch == options_.epochs ? train::Status::kComplete : train::Status::kRunning};
  metrics_.write_epoch(last_);
  progress_.print(
      fmt::format("epoch {}/{}: accuracy of the mean model {:.4f}, of rank 0's {:.4f}, loss "
                  "{:.4f}, consensus distance {:.3f}, "
                  "{:.0f} images/s",
                  epoch, options_.epochs, accuracy_mean_model, accuracy_local, last_.loss,
                  consensus_distance, *last_.images_per_second));
  loss_of_epoch_ = 0.0;
  steps_of_epoch_ = 0;
  epoch_begin_ = last_step_ = Clock::now();
}

void RunRecord::finish(const optim::Decentralized& optimizer) {
  const auto mean = [&](double value) { return transport::mean_of(session_, value); };
  const auto mean_count = [&](std::int64_t value) {
    return std::llround(mean(static_cast<double>(value)));
  };
  const train::Totals own = totals(optimizer);
  const auto images = static_cast<double>(own.samples * session_.size());
  const train::Result result{.start = start_,
                             .status = train::Status::kComplete,
                             .epoch = last_.epoch,
                             .totals = {.step = mean_count(own.step),
                                        .samples = mean_count(own.samples),
                                        .seconds = mean(own.seconds),
                                        .gossip_rounds = mean_count(own.gossip_rounds),
                                        .bytes_sent = mean_count(own.bytes_sent),
                                        .bytes_received = mean_count(own.bytes_received),
                                        .wait_seconds = mean(own.wait_seconds)},
                             .loss = mean(last_.loss),
                             .lr = last_.lr,
                             .test_accuracy_mean_model = last_.test_accuracy_mean_model,
                             .test_accuracy_local = mean(*last_.test_accuracy_local),
                             .consensus_distance = last_.consensus_distance,
                             .images_per_second = images / mean(training_seconds_)};
  progress_.finish();
  if (session_.rank() == 0) metrics_.write_result(result);
}

}  // namespace gossip::examples
