// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Push-sum over a schedule, in virtual rounds.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <libgossip/algorithm/push_sum.h>
#include <libgossip/sim/pair_simulation.h>
#include <libgossip/topology/schedule.h>

namespace gossip::sim {

/// SGP and overlapped SGP (OSGP) of all workers: the class algorithm::PushSum, rounds of a
/// schedule, no gradients or those that a caller adds.
///
/// A step of SGP: every worker makes its local step at z, then the round mixes, and messages arrive
/// in it. A step of OSGP: every worker absorbs what the last step sent, sends, and makes its local
/// step at what it has now; a message is on its way for one step.
///
/// Local; one thread.
class PushSumSimulation {
 public:
  enum class Arrival {
    kSameStep,  ///< SGP
    kNextStep,  ///< OSGP
  };

  /// All models are 0. The matrices of `schedule` should be column stochastic (see
  /// PushSum::send()).
  PushSumSimulation(topology::Schedule schedule, std::size_t num_elements,
                    Arrival arrival = Arrival::kSameStep);
  PushSumSimulation(const PushSumSimulation&) = delete;  // the rules point into it
  PushSumSimulation& operator=(const PushSumSimulation&) = delete;

  /// Sets the models to `models` [size][num_elements], all weights to 1; drops messages on their
  /// way.
  void set_models(std::span<const double> models);

  /// One step of all workers.
  void step(const PairSimulation::LocalStep& local_step = nullptr);

  [[nodiscard]] int size() const noexcept { return schedule_.size(); }

  /// z of a worker.
  [[nodiscard]] std::span<const double> model(Rank worker) const;
  /// w of a worker.
  [[nodiscard]] double weight(Rank worker) const;

  /// Sum of u over workers and messages on their way: [num_elements].
  [[nodiscard]] std::vector<double> total() const;
  /// Sum of w over workers and messages on their way.
  [[nodiscard]] double total_weight() const;

 private:
  struct Message {
    Rank receiver;
    double weight;
    std::vector<double> values;
  };
  struct Worker {
    std::vector<double> model;
    std::vector<double> excess;
    std::optional<algorithm::PushSum> rule;  // made when the vectors lie where they stay
  };

  void send(Rank worker);
  void absorb(std::vector<Message> messages);
  void local_steps(const PairSimulation::LocalStep& local_step);

  topology::Schedule schedule_;
  Arrival arrival_;
  std::vector<Worker> workers_;
  std::vector<Message> on_the_way_;
  std::int64_t round_ = 0;
  topology::Neighborhood neighborhood_;
  std::vector<double> increment_;
};

}  // namespace gossip::sim
