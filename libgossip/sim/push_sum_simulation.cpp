// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <libgossip/base/error.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/sim/push_sum_simulation.h>

namespace gossip::sim {

PushSumSimulation::PushSumSimulation(topology::Schedule schedule, std::size_t num_elements,
                                     Arrival arrival)
    : schedule_(std::move(schedule)),
      arrival_(arrival),
      workers_(static_cast<std::size_t>(schedule_.size())),
      increment_(num_elements) {
  set_models(std::vector<double>(workers_.size() * num_elements, 0.0));
}

void PushSumSimulation::set_models(std::span<const double> models) {
  const std::size_t length = increment_.size();
  GOSSIP_CHECK(models.size() == workers_.size() * length,
               "The group has {} workers of {} elements, but {} numbers were given.",
               workers_.size(), length, models.size());
  for (std::size_t k = 0; k < workers_.size(); ++k) {
    const auto own = models.subspan(k * length, length);
    Worker& worker = workers_[k];
    worker.model.assign(own.begin(), own.end());
    worker.excess.assign(length, 0.0);
    worker.rule.emplace(std::span<double>(worker.model), std::span<double>(worker.excess));
  }
  on_the_way_.clear();
}

void PushSumSimulation::step(const PairSimulation::LocalStep& local_step) {
  if (arrival_ == Arrival::kSameStep) local_steps(local_step);
  for (Worker& worker : workers_) worker.rule->open();
  if (arrival_ == Arrival::kNextStep) absorb(std::exchange(on_the_way_, {}));
  for (Rank worker = 0; worker < size(); ++worker) send(worker);
  if (arrival_ == Arrival::kSameStep) absorb(std::exchange(on_the_way_, {}));
  for (Worker& worker : workers_) worker.rule->close();
  if (arrival_ == Arrival::kNextStep) local_steps(local_step);
  ++round_;
}

void PushSumSimulation::send(Rank worker) {
  schedule_.neighborhood(round_, worker, neighborhood_);
  for (const topology::Neighbor& receiver : neighborhood_.out) {
    Message& message = on_the_way_.emplace_back(
        Message{receiver.rank, 0.0, std::vector<double>(increment_.size())});
    message.weight = workers_[static_cast<std::size_t>(worker)].rule->send(
        receiver.weight, std::span<double>(message.values));
  }
}

void PushSumSimulation::absorb(std::vector<Message> messages) {
  for (Message& message : messages) {
    Worker& receiver = workers_[static_cast<std::size_t>(message.receiver)];
    receiver.rule->absorb(std::span<double>(message.values), message.weight);
  }
}

void PushSumSimulation::local_steps(const PairSimulation::LocalStep& local_step) {
  if (!local_step) return;
  for (Rank rank = 0; rank < size(); ++rank) {
    std::fill(increment_.begin(), increment_.end(), 0.0);
    local_step(rank, model(rank), increment_);
    kernels::axpby(1.0, std::span<const double>(increment_), 1.0,
                   std::span<double>(workers_[static_cast<std::size_t>(rank)].model));
  }
}

std::span<const double> PushSumSimulation::model(Rank worker) const {
  return workers_[static_cast<std::size_t>(worker)].model;
}

double PushSumSimulation::weight(Rank worker) const {
  return workers_[static_cast<std::size_t>(worker)].rule->weight();
}

std::vector<double> PushSumSimulation::total() const {
  std::vector<double> sum(increment_.size(), 0.0);
  const auto add = [&](std::span<const double> values) {
    kernels::axpby(1.0, values, 1.0, std::span<double>(sum));
  };
  for (const Worker& worker : workers_) {
    add(worker.model);
    add(worker.excess);
  }
  for (const Message& message : on_the_way_) add(message.values);
  return sum;
}

double PushSumSimulation::total_weight() const {
  double sum = 0.0;
  for (Rank worker = 0; worker < size(); ++worker) sum += weight(worker);
  for (const Message& message : on_the_way_) sum += message.weight;
  return sum;
}

}  // namespace gossip::sim
