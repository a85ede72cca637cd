// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include <libgossip/base/collective_call.h>
#include <libgossip/base/error.h>
#include <libgossip/base/file.h>
#include <libgossip/base/log.h>
#include <libgossip/train/job.h>
#include <libgossip/train/run_record.h>
#include <libgossip/transport/agreement.h>

namespace gossip::train {
namespace {

RunRecordOptions checked(RunRecordOptions options) {
  const auto check = [](std::string_view name, std::int64_t value) {
    GOSSIP_CHECK(value >= 1, "{} is {}: it must be at least 1.", name, value);
  };
  check("epochs", options.epochs);
  check("steps_per_epoch", options.steps_per_epoch);
  check("batch_size", options.batch_size);
  check("log_every", options.log_every);
  return options;
}

}  // namespace

RunRecord::RunRecord(transport::Group& group, RunRecordOptions options)
    : group_(group),
      options_(checked(std::move(options))),
      progress_({.rank = group.rank(),
                 .epochs = options_.epochs,
                 .steps_per_epoch = options_.steps_per_epoch,
                 .images_per_step = options_.batch_size * group.size()}) {}

void RunRecord::start(const optim::Decentralized& optimizer, const std::string& topology,
                      const std::optional<checkpoint::Resumed>& from) {
  const CollectiveCall call("RunRecord::start()", optimizer.timeout());
  transport::check_together(group_, [&] {
    metrics_.emplace(options_.folder, group_.rank(), group_.size(),
                     from ? LineFile::Start::kAfter : LineFile::Start::kAnew);
    if (group_.rank() != 0) return;
    replace_file(metrics_->folder() / "config.toml", options_.config);
  });
  start_ = {.optimizer = std::string(optimizer.name()),
            .topology = topology,
            .transport = std::string(group_.transport()),
            .parameters = optimizer.flat_model().num_elements(),
            .extra = options_.settings};
  start_.extra.push_back({"bytes_nominal", optimizer.name() == "allreduce"});
  const JobInfo job = job_info(group_);
  job_ = fields(job);
  start_.extra.insert(start_.extra.end(), job_.begin(), job_.end());
  for (const std::string& line : lines(job)) {
    if (group_.rank() == 0) log_line(LogLevel::kInfo, 0, line);
  }
  if (!from) metrics_->write_start(start_);
  if (!from || !from->is_exact) begin_ = epoch_begin_ = Clock::now();
}

std::int64_t RunRecord::steps(const optim::Decentralized& optimizer) const {
  return earlier_.steps + optimizer.steps();
}

std::int64_t RunRecord::job_steps(const optim::Decentralized& optimizer) const {
  return earlier_.job_steps + optimizer.job_steps();
}

double RunRecord::seconds() const {
  return earlier_.seconds + seconds_between(begin_, Clock::now());
}

double RunRecord::cpu_seconds() const {
  return earlier_.cpu_seconds + group_.background().cpu_seconds();
}

engine::Counters RunRecord::counters(const optim::Decentralized& optimizer) const {
  engine::Counters sum = earlier_.counters;
  sum += optimizer.counters();
  return sum;
}

Totals RunRecord::totals(const optim::Decentralized& optimizer) const {
  const engine::Counters counters = this->counters(optimizer);
  return {.step = steps(optimizer),
          .samples = steps(optimizer) * options_.batch_size,
          .seconds = seconds(),
          .gossip_rounds = counters.gossip_rounds,
          .bytes_sent = static_cast<std::int64_t>(counters.bytes_sent),
          .bytes_received = static_cast<std::int64_t>(counters.bytes_received),
          .wait_seconds = counters.wait_seconds};
}

double RunRecord::images_per_second(const optim::Decentralized& optimizer) const {
  const std::int64_t steps = job_steps(optimizer) - job_steps_before_;
  return static_cast<double>(steps * options_.batch_size) /
         seconds_between(epoch_begin_, last_step_);
}

/// The job's progress as this rank knows it, and what communication brought and cost.
Fields RunRecord::more(const optim::Decentralized& optimizer) const {
  const engine::Counters counters = this->counters(optimizer);
  const double seconds = this->seconds();
  const double cpu = cpu_seconds();
  return {{"job_steps", job_steps(optimizer)},
          {"job_samples", job_steps(optimizer) * options_.batch_size},
          {"bytes_averaged", static_cast<std::int64_t>(counters.bytes_averaged)},
          {"skipped", counters.skipped},
          {"age_median", counters.ages.quantile(0.5)},
          {"age_p95", counters.ages.quantile(0.95)},
          {"neighbors_lost", counters.neighbors_lost},
          {"suspected", counters.suspected},
          {"false_suspicions", counters.false_suspicions},
          {"halves_lost", counters.halves_lost},
          {"mass_lost", counters.mass_lost},
          {"communication_cpu_share", seconds > 0 ? cpu / seconds : 0.0}};
}

void RunRecord::check_loss(const optim::Decentralized& optimizer, std::int64_t epoch, double loss) {
  if (std::isfinite(loss)) return;
  metrics_->write_epoch({.epoch = epoch,
                         .totals = totals(optimizer),
                         .loss = loss,
                         .lr = optimizer.learning_rate(),
                         .status = Status::kDiverged});
  const std::optional<double> rate = optimizer.learning_rate();
  throw Error(fmt::format(
      "The loss is {} on rank {} in step {}: training diverged{}. Try a lower learning rate.", loss,
      group_.rank(), steps(optimizer), rate ? fmt::format(" at learning rate {}", *rate) : ""));
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
                      .step = job_steps(optimizer) / group_.size(),
                      .loss = loss_since_record_ / static_cast<double>(steps_since_record_),
                      .consensus_distance = last_.consensus_distance});
  }
  if (steps(optimizer) % options_.log_every != 0) return;
  metrics_->write_step({.epoch = epoch,
                        .totals = totals(optimizer),
                        .loss = loss_since_record_ / static_cast<double>(steps_since_record_),
                        .lr = optimizer.learning_rate(),
                        .images_per_second = images_per_second(optimizer),
                        .extra = more(optimizer)});
  loss_since_record_ = 0.0;
  steps_since_record_ = 0;
}

EpochRecord RunRecord::end_epoch(const optim::Decentralized& optimizer, std::int64_t epoch) {
  training_seconds_ += seconds_between(epoch_begin_, last_step_);
  EpochRecord record{.epoch = epoch,
                     .totals = totals(optimizer),
                     .loss = loss_of_epoch_ / static_cast<double>(steps_of_epoch_),
                     .lr = optimizer.learning_rate(),
                     .images_per_second = images_per_second(optimizer),
                     .status = epoch == options_.epochs ? Status::kComplete : Status::kRunning,
                     .extra = more(optimizer)};
  // A rank of an asynchronous run may make no step in an epoch: its last figures stand.
  if (steps_of_epoch_ == 0) record.loss = last_loss_;
  last_loss_ = record.loss;
  loss_of_epoch_ = 0.0;
  steps_of_epoch_ = 0;
  job_steps_before_ = job_steps(optimizer);
  epoch_begin_ = last_step_ = Clock::now();
  return record;
}

void RunRecord::write_epoch(const EpochRecord& record) {
  last_ = record;
  metrics_->write_epoch(record);
  progress_.leave_out(Clock::now() - last_step_);  // the evaluation
  progress_.print(
      fmt::format("epoch {}/{}: accuracy of the mean model {:.4f}, of rank 0's {:.4f}, loss "
                  "{:.4f}, consensus distance {:.3f}, "
                  "{:.0f} images/s",
                  record.epoch, options_.epochs, record.test_accuracy_mean_model.value_or(0.0),
                  record.test_accuracy_local.value_or(0.0), record.loss,
                  record.consensus_distance.value_or(0.0), record.images_per_second.value_or(0.0)));
  epoch_begin_ = last_step_ = Clock::now();
}

Fields RunRecord::means_of_more(const optim::Decentralized& optimizer) const {
  Fields fields = more(optimizer);
  for (Field& field : fields) {
    if (auto* count = std::get_if<std::int64_t>(&field.value)) {
      *count = std::llround(transport::mean_of(group_, static_cast<double>(*count)));
    } else if (auto* number = std::get_if<double>(&field.value)) {
      *number = transport::mean_of(group_, *number);
    }
  }
  return fields;
}

void RunRecord::finish(const optim::Decentralized& optimizer) {
  const CollectiveCall call("RunRecord::finish()", optimizer.timeout());
  const auto mean = [&](double value) { return transport::mean_of(group_, value); };
  const auto mean_count = [&](std::int64_t value) {
    return std::llround(mean(static_cast<double>(value)));
  };
  const Totals own = totals(optimizer);
  const double images = mean(static_cast<double>(own.samples)) * group_.size();
  std::optional<double> accuracy = last_.test_accuracy_local;
  if (accuracy) accuracy = mean(*accuracy);
  const Result result{.start = start_,
                      .status = Status::kComplete,
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
                      .test_accuracy_local = accuracy,
                      .consensus_distance = last_.consensus_distance,
                      .images_per_second = images / mean(training_seconds_),
                      .extra = means_of_more(optimizer)};
  progress_.finish();
  if (group_.rank() == 0) metrics_->write_result(result);
}

void RunRecord::finish_alone(const optim::Decentralized& optimizer, const EpochRecord& last) {
  metrics_->write_epoch(last);
  progress_.finish();
  if (group_.rank() != 0) return;
  metrics_->write_result({.start = start_,
                          .status = Status::kComplete,
                          .epoch = last.epoch,
                          .totals = last.totals,
                          .loss = last.loss,
                          .lr = last.lr,
                          .test_accuracy_local = last.test_accuracy_local,
                          .extra = more(optimizer)});
}

}  // namespace gossip::train
