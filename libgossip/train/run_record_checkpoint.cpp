// SPDX-License-Identifier: Apache-2.0
// How a run's record goes into a checkpoint, and on from one.
#include <chrono>
#include <utility>
#include <variant>

#include <libgossip/base/error.h>
#include <libgossip/train/run_record.h>
#include <libgossip/train/saved_field.h>

namespace gossip::train {
namespace {

/// The samples of a step follow from it only while these are the same.
void check_sampling(model::StateReader& saved, const Fields& sampling) {
  for (const Field& field : sampling) {
    std::visit(
        [&]<class T>(const T& here) {
          const T value = saved_value<T>(saved, field.name);
          GOSSIP_CHECK(value == here,
                       "{} was with {} {}, but it is {} now: the order of the samples depends on "
                       "it. Take {}, or start anew.",
                       saved.what(), field.name, value, here, value);
        },
        field.value);
  }
}

}  // namespace

checkpoint::Checkpointer::Part RunRecord::part(const optim::Decentralized& optimizer) {
  return {.save = [this, &optimizer] { return state(optimizer); },
          .plan = [this](model::StateReader& saved) { return plan(saved); }};
}

model::StateDict RunRecord::state(const optim::Decentralized& optimizer) const {
  const engine::Counters counters = this->counters(optimizer);
  model::StateDict state;
  for (const Field& field : options_.sampling) state.add(field.name, to_save(field));
  state.add("seconds", Value(seconds()));
  state.add("cpu_seconds", Value(cpu_seconds()));
  state.add("training_seconds", Value(training_seconds_));
  state.add("epoch_seconds", Value(seconds_between(epoch_begin_, last_step_)));
  state.add("loss_since_record", Value(loss_since_record_));
  state.add("loss_of_epoch", Value(loss_of_epoch_));
  state.add("last_loss", Value(last_loss_));
  state.add("steps_since_record", Value(steps_since_record_));
  state.add("steps_of_epoch", Value(steps_of_epoch_));
  state.add("job_steps_before", Value(job_steps_before_));
  state.add("earlier_steps", Value(earlier_.steps));
  state.add("earlier_job_steps", Value(earlier_.job_steps));
  state.add("gossip_rounds", Value(counters.gossip_rounds));
  state.add("bytes_sent", Value(static_cast<std::int64_t>(counters.bytes_sent)));
  state.add("bytes_received", Value(static_cast<std::int64_t>(counters.bytes_received)));
  state.add("bytes_averaged", Value(static_cast<std::int64_t>(counters.bytes_averaged)));
  state.add("wait_seconds", Value(counters.wait_seconds));
  state.add("skipped", Value(counters.skipped));
  state.add("neighbors_lost", Value(counters.neighbors_lost));
  state.add("suspected", Value(counters.suspected));
  state.add("false_suspicions", Value(counters.false_suspicions));
  state.add("halves_lost", Value(counters.halves_lost));
  state.add("mass_lost", Value(counters.mass_lost));
  return state;
}

std::function<void()> RunRecord::plan(model::StateReader& saved) {
  const auto number = [&](const char* name) { return saved.value<double>(name); };
  const auto count = [&](const char* name) { return saved.value<std::int64_t>(name); };
  const auto bytes = [&](const char* name) { return static_cast<std::uint64_t>(count(name)); };
  const auto newer_count = [&](const char* name) {  // older sets lack it
    return saved.has_value(name) ? count(name) : 0;
  };
  check_sampling(saved, options_.sampling);
  Earlier earlier{.steps = count("earlier_steps"),
                  .job_steps = count("earlier_job_steps"),
                  .seconds = number("seconds"),
                  .cpu_seconds = number("cpu_seconds")};
  earlier.counters.gossip_rounds = count("gossip_rounds");
  earlier.counters.bytes_sent = bytes("bytes_sent");
  earlier.counters.bytes_received = bytes("bytes_received");
  earlier.counters.bytes_averaged = bytes("bytes_averaged");
  earlier.counters.wait_seconds = number("wait_seconds");
  earlier.counters.skipped = count("skipped");
  earlier.counters.neighbors_lost = count("neighbors_lost");
  earlier.counters.suspected = newer_count("suspected");
  earlier.counters.false_suspicions = newer_count("false_suspicions");
  earlier.counters.halves_lost = newer_count("halves_lost");
  earlier.counters.mass_lost = number("mass_lost");
  const std::chrono::duration<double> epoch(number("epoch_seconds"));
  return [this, earlier, epoch, training = number("training_seconds"),
          since_record = number("loss_since_record"), of_epoch = number("loss_of_epoch"),
          last_loss = number("last_loss"), steps_since_record = count("steps_since_record"),
          steps_of_epoch = count("steps_of_epoch"), job_steps = count("job_steps_before")] {
    earlier_ = earlier;
    begin_ = last_step_ = Clock::now();
    epoch_begin_ = begin_ - std::chrono::duration_cast<Clock::duration>(epoch);
    training_seconds_ = training;
    loss_since_record_ = since_record;
    loss_of_epoch_ = of_epoch;
    last_loss_ = last_loss;
    steps_since_record_ = steps_since_record;
    steps_of_epoch_ = steps_of_epoch;
    job_steps_before_ = job_steps;
  };
}

void RunRecord::resumed(const checkpoint::Resumed& from,
                        const checkpoint::Checkpointer& checkpoints,
                        const optim::Decentralized& optimizer) {
  if (!from.is_exact) {
    earlier_.steps = checkpoints.steps() - optimizer.steps();
    earlier_.job_steps = checkpoints.job_steps() - optimizer.job_steps();
    job_steps_before_ = job_steps(optimizer);
  }
  progress_.start_after(job_steps(optimizer) / group_.size());
  Fields extra = job_;
  extra.push_back({"ranks_before", static_cast<std::int64_t>(from.ranks)});
  metrics_->write_resume({.totals = totals(optimizer),
                          .checkpoint = from.set,
                          .is_exact = from.is_exact,
                          .extra = std::move(extra)});
}

}  // namespace gossip::train
