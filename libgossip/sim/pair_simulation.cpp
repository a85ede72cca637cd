// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <libgossip/base/error.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/sim/pair_simulation.h>

namespace gossip::sim {

PairSimulation::PairSimulation(const algorithm::PairAlgorithm& algorithm, int size,
                               std::size_t num_elements, double delay)
    : algorithm_(algorithm),
      num_elements_(num_elements),
      num_vectors_(static_cast<std::size_t>(algorithm.num_vectors())),
      delay_(delay),
      scratch_(num_elements),
      other_payload_(num_elements) {
  GOSSIP_CHECK(size >= 1, "A group of {} workers cannot be simulated: it needs at least 1.", size);
  GOSSIP_CHECK(delay >= 0.0 && std::isfinite(delay),
               "The delay of a half event is {}: it must be a number of at least 0.", delay);
  const auto workers = static_cast<std::size_t>(size);
  times_.assign(workers, 0.0);
  values_.assign(workers * num_vectors_ * num_elements, 0.0);
  for (std::size_t k = 0; k < workers * num_vectors_; ++k) {
    views_.emplace_back(std::span<double>(values_).subspan(k * num_elements, num_elements));
  }
}

algorithm::State PairSimulation::state(Rank worker) const {
  return {views_.data() + static_cast<std::size_t>(worker) * num_vectors_, num_vectors_};
}

std::span<double> PairSimulation::vector(Rank worker, int index) {
  return state(worker)[static_cast<std::size_t>(index)].as<double>();
}

std::span<const double> PairSimulation::vector(Rank worker, int index) const {
  return state(worker)[static_cast<std::size_t>(index)].as<double>();
}

void PairSimulation::set_models(std::span<const double> models) {
  GOSSIP_CHECK(models.size() == times_.size() * num_elements_,
               "The group has {} workers of {} elements, but {} numbers were given.", times_.size(),
               num_elements_, models.size());
  for (Rank worker = 0; worker < size(); ++worker) {
    const auto own =
        models.subspan(static_cast<std::size_t>(worker) * num_elements_, num_elements_);
    for (int index = 0; index < algorithm_.num_vectors(); ++index) {
      if (index == 0 || algorithm_.is_relative()) {
        std::ranges::copy(own, vector(worker, index).begin());
      } else {
        std::ranges::fill(vector(worker, index), 0.0);
      }
    }
  }
  std::fill(times_.begin(), times_.end(), time_);
  while (!on_the_way_.empty()) {
    free_.push_back(on_the_way_.front().slot);
    on_the_way_.pop_front();
  }
}

void PairSimulation::run(PoissonClock& clock, double until, const LocalStep& local_step) {
  GOSSIP_CHECK(std::isfinite(until), "A run until {} has no end: it must be a number.", until);
  for (;;) {
    if (!has_pending_) pending_ = clock.next();
    has_pending_ = pending_.time > until;
    if (has_pending_) break;
    play(pending_, local_step);
  }
  deliver_until(until);
  time_ = std::max(time_, until);
  synchronize();
}

void PairSimulation::play(const Event& event, const LocalStep& local_step) {
  deliver_until(event.time);
  time_ = event.time;
  if (event.is_gradient()) {
    local_event(event.worker, local_step);
  } else if (second_initiates_ && delay_ > 0.0) {
    pair_event(event.peer, event.worker);
  } else {
    pair_event(event.worker, event.peer);
  }
}

void PairSimulation::flow(Rank worker, double time) {
  double& last = times_[static_cast<std::size_t>(worker)];
  algorithm_.flow(state(worker), time - last);
  last = time;
}

void PairSimulation::pair_event(Rank initiator, Rank peer) {
  flow(initiator, time_);
  flow(peer, time_);
  const VectorView difference = std::span<double>(scratch_);
  algorithm_.write_payload(state(initiator), difference);
  algorithm_.write_payload(state(peer), std::span<double>(other_payload_));
  for (std::size_t k = 0; k < num_elements_; ++k) scratch_[k] -= other_payload_[k];
  algorithm_.jump(state(initiator), difference, 1.0);
  if (delay_ == 0.0) {
    algorithm_.jump(state(peer), difference, -1.0);
  } else {
    put(peer);
    second_initiates_ = !second_initiates_;
  }
}

void PairSimulation::local_event(Rank worker, const LocalStep& local_step) {
  if (!local_step) return;
  flow(worker, time_);
  std::fill(scratch_.begin(), scratch_.end(), 0.0);
  local_step(worker, model(worker), scratch_);
  step(worker, scratch_);
}

void PairSimulation::step(Rank worker, std::span<double> local) {
  algorithm_.local_step(state(worker), local);
}

void PairSimulation::put(Rank receiver) {
  if (free_.empty()) {
    free_.push_back(deltas_.size());
    deltas_.emplace_back(num_elements_);
  }
  const std::size_t slot = free_.back();
  free_.pop_back();
  deltas_[slot] = scratch_;
  on_the_way_.push_back({time_ + delay_, receiver, slot});
}

void PairSimulation::deliver(const Delta& delta, double time) {
  flow(delta.receiver, time);
  algorithm_.jump(state(delta.receiver), std::span<double>(deltas_[delta.slot]), -1.0);
  free_.push_back(delta.slot);
}

void PairSimulation::deliver_until(double time) {
  while (!on_the_way_.empty() && on_the_way_.front().time <= time) {
    deliver(on_the_way_.front(), on_the_way_.front().time);
    on_the_way_.pop_front();
  }
}

void PairSimulation::deliver_all() {
  for (; !on_the_way_.empty(); on_the_way_.pop_front()) deliver(on_the_way_.front(), time_);
}

void PairSimulation::synchronize() {
  for (Rank worker = 0; worker < size(); ++worker) flow(worker, time_);
}

double PairSimulation::squared_consensus_distance(int index) const {
  std::vector<double> mean(num_elements_, 0.0);
  for (Rank worker = 0; worker < size(); ++worker) {
    kernels::axpby(1.0 / size(), vector(worker, index), 1.0, std::span<double>(mean));
  }
  double sum = 0.0;
  for (Rank worker = 0; worker < size(); ++worker) {
    sum += kernels::squared_distance(vector(worker, index), std::span<const double>(mean));
  }
  return sum;
}

}  // namespace gossip::sim
