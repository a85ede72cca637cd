// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A method made of stages on a group of workers, in virtual rounds.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <libgossip/algorithm/algorithm.h>
#include <libgossip/algorithm/interpret.h>
#include <libgossip/base/types.h>
#include <libgossip/kernels/vector.h>
#include <libgossip/topology/matrices.h>
#include <libgossip/topology/schedule.h>

namespace gossip::sim {

/// Drives an Algorithm, the class that engine::StagedWorker runs on processes and threads, on
/// workers of `num_elements` doubles each. A step of all workers is one call; the results are those
/// of the processes to rounding. The local update is plain gradient descent.
///
/// ```
/// const auto graph = topology::ring(16);
/// StagedSimulation group(std::make_shared<const algorithm::GradientTracking>(), graph, 4, 0.05);
/// group.set_models(start);
/// while (error_of(group) > 1e-10) group.step(gradient);
/// std::cout << group.gradients() << ' ' << group.communications() << '\n';
/// ```
///
/// Cost of a step: what it combines, and what the edges of its round carry. Thousands of workers
/// take one pass over all of them a stage.
///
/// Local; one thread.
class StagedSimulation {
 public:
  using Method = std::shared_ptr<const algorithm::Algorithm>;

  /// Writes a worker's gradient at `model` into `gradient`; both have `num_elements`.
  using Gradient =
      std::function<void(Rank worker, std::span<const double> model, std::span<double> gradient)>;

  /// One method for all workers. All vectors are 0.
  ///
  /// Throws gossip::Error for matrices whose sums are not those that the method needs (their
  /// eigenvalues are not looked at), for a learning rate that is negative, or 0 where the method
  /// divides by it, and for a method that compresses.
  StagedSimulation(Method method, topology::Matrices matrices, std::size_t num_elements,
                   double learning_rate);

  /// One method a worker, such as PushPull whose sampler knows the rank. Throws as well when they
  /// are not as many as the matrices have ranks.
  StagedSimulation(const std::vector<Method>& methods, topology::Matrices matrices,
                   std::size_t num_elements, double learning_rate);

  /// Starts over: models `models` [size][num_elements], all other vectors and all counts 0,
  /// push-sum weights 1.
  void set_models(std::span<const double> models);

  /// One step of all workers. Without `gradient` all gradients are 0, and none is counted. Throws
  /// gossip::Error when the workers do not communicate the same vectors in the same order.
  void step(const Gradient& gradient);

  [[nodiscard]] int size() const noexcept { return matrices_.pull.size(); }
  [[nodiscard]] std::size_t num_elements() const noexcept { return num_elements_; }

  /// Steps so far.
  [[nodiscard]] std::int64_t steps() const noexcept { return step_; }

  /// A vector of a worker by its number in the algorithm (kModel, kGradient, kFirstState, ...).
  /// Valid until the next step.
  [[nodiscard]] std::span<const double> vector(Rank worker, int index) const;
  [[nodiscard]] std::span<const double> model(Rank worker) const {
    return vector(worker, algorithm::kModel);
  }

  /// The push-sum weight of a worker; 1 where nothing is pushed.
  [[nodiscard]] double weight(Rank worker) const;

  /// Evaluations of gradients, over all workers.
  [[nodiscard]] std::int64_t gradients() const noexcept { return gradients_; }

  /// Messages from one worker to another: a mixing sends one along each arc of its round, with all
  /// vectors that it mixes. An exact mean counts as a reduction and a broadcast along a tree: 2
  /// (size - 1).
  [[nodiscard]] std::int64_t messages() const noexcept { return messages_; }

  /// Activations of edges: one message each way. Half of messages().
  [[nodiscard]] double communications() const noexcept {
    return static_cast<double>(messages_) / 2.0;
  }

  /// The elements that the messages carry, in bytes.
  [[nodiscard]] std::int64_t bytes_sent() const noexcept { return bytes_sent_; }

 private:
  using Stages = algorithm::Stages;

  /// Neighboring ranks with one method.
  struct Team {
    Method method;
    Rank begin;
    Rank end;
    Stages rest = {};  // of this step
  };

  /// What all workers do in a round.
  struct Round {
    std::int64_t number = -1;
    std::vector<topology::Neighborhood> pull;
    std::vector<topology::Neighborhood> push;
    std::int64_t pull_messages = 0;
    std::int64_t push_messages = 0;
    std::int64_t both_messages = 0;  // a receiver in both matrices gets one message
  };

  void check(const algorithm::Algorithm& method) const;
  void run_to_communication(Team& team, const Gradient& gradient);
  [[nodiscard]] const algorithm::Stage* next_communication() const;
  void evaluate(const Team& team, const Gradient& gradient);
  void update(const Team& team, const algorithm::LocalUpdate& stage);
  void combine(const Team& team, const algorithm::Combinations& stages);
  void combine(const Team& team, const algorithm::Combine& stage);
  void combine(const algorithm::Combine& stage, std::size_t begin, std::size_t end, double weight);
  void load_round();
  void mix(const algorithm::Mix& stage);
  void pull(int vector);
  void push(int vector);
  void push_weights();
  void correct(const algorithm::Correction& stage);
  void mean(const algorithm::Mean& stage);

  topology::Matrices matrices_;
  std::size_t num_elements_;
  double learning_rate_;
  std::vector<Team> teams_;
  std::vector<std::vector<double>> vectors_;  // by number, each [size][num_elements]
  std::vector<double> weights_;
  std::int64_t step_ = 0;
  std::int64_t round_ = 0;
  std::int64_t gradients_ = 0;
  std::int64_t messages_ = 0;
  std::int64_t bytes_sent_ = 0;
  Round loaded_;
  std::vector<double> mixed_;
  std::vector<kernels::Source<double>> sources_;
};

}  // namespace gossip::sim
