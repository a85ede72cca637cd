// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A method of pair events on a group of workers in virtual time.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include <libgossip/algorithm/pair_algorithm.h>
#include <libgossip/base/types.h>
#include <libgossip/sim/poisson_clock.h>

namespace gossip::sim {

/// Drives a PairAlgorithm, the class that processes and threads run as well, on `size` workers of
/// `num_elements` doubles each. Exact and deterministic: a worker's vectors are flowed when
/// something happens to it, each from its own last event, and an event costs what it moves.
///
/// ```
/// PairSimulation group(method, 32, 1);
/// group.set_models(start);
/// PoissonClock clock(32, topology::equal_intensities(topology::ring(32)), 0.0, seed);
/// group.run(clock, 120.0);
/// group.squared_consensus_distance();
/// ```
///
/// With `delay` > 0 pair events are what a mailbox makes of them: the initiator (the two ends of an
/// edge in turn) takes the difference of both models, both flowed to now, and applies its half at
/// once; the other end applies its half of the same difference `delay` later. Then the sum over
/// workers and deltas on their way is kept of x (AD-PSGD) and of x + x~ (A2CiD2), but not of x~.
///
/// Local; one thread. `algorithm` must outlive the simulation.
class PairSimulation {
 public:
  /// Writes what the method's local step takes into `local`, which is 0 before: the increment of
  /// the model, or the gradient at it (algorithm::PairAlgorithm). Both have `num_elements`.
  using LocalStep =
      std::function<void(Rank worker, std::span<const double> model, std::span<double> local)>;

  /// All vectors are 0. Throws gossip::Error for less than 1 worker or a delay below 0.
  PairSimulation(const algorithm::PairAlgorithm& algorithm, int size, std::size_t num_elements,
                 double delay = 0.0);

  PairSimulation(PairSimulation&&) = default;  // not copyable: the views point into it

  /// Sets the model of each worker to its row of `models` [size][num_elements], and the further
  /// vectors as the method has them at the start, at the present time; drops deltas on their way.
  void set_models(std::span<const double> models);

  /// Plays the events of `clock` up to `until`, then delivers what is due and flows all workers
  /// there. The event after `until` is kept for the next call with the same clock. Gradient events
  /// call `local_step`. Throws gossip::Error unless `until` is finite.
  void run(PoissonClock& clock, double until, const LocalStep& local_step = nullptr);

  /// One event. Its time must not lie before the last one's.
  void play(const Event& event, const LocalStep& local_step = nullptr);

  /// A local step of a worker with `local` [num_elements], as of its last event.
  void step(Rank worker, std::span<double> local);

  /// Delivers all deltas on their way, those that are not due included.
  void deliver_all();

  /// Flows all workers to the present time.
  void synchronize();

  [[nodiscard]] int size() const noexcept { return static_cast<int>(times_.size()); }
  [[nodiscard]] std::size_t num_elements() const noexcept { return num_elements_; }
  [[nodiscard]] int num_vectors() const noexcept { return algorithm_.num_vectors(); }
  [[nodiscard]] double time() const noexcept { return time_; }

  /// A vector of a worker as of the worker's own last event: synchronize() first to compare
  /// workers.
  [[nodiscard]] std::span<double> vector(Rank worker, int index);
  [[nodiscard]] std::span<const double> vector(Rank worker, int index) const;
  [[nodiscard]] std::span<const double> model(Rank worker) const { return vector(worker, 0); }

  /// All vectors of all workers: [size][num_vectors][num_elements].
  [[nodiscard]] std::span<double> values() noexcept { return values_; }

  /// \f$ \sum_i |x_i - \bar x|^2 \f$ of the vectors of one index, as they are.
  [[nodiscard]] double squared_consensus_distance(int index = 0) const;

 private:
  struct Delta {
    double time;
    Rank receiver;
    std::size_t slot;  // of deltas_
  };

  [[nodiscard]] algorithm::State state(Rank worker) const;
  void flow(Rank worker, double time);
  void pair_event(Rank initiator, Rank peer);
  void local_event(Rank worker, const LocalStep& local_step);
  void put(Rank receiver);
  void deliver(const Delta& delta, double time);
  void deliver_until(double time);

  const algorithm::PairAlgorithm& algorithm_;
  std::size_t num_elements_;
  std::size_t num_vectors_;
  double delay_;
  double time_ = 0.0;
  bool second_initiates_ = false;
  std::vector<double> values_;  // [worker][vector][element]
  std::vector<VectorView> views_;
  std::vector<double> times_;  // up to which each worker is flowed
  std::vector<double> scratch_;
  std::vector<double> other_payload_;
  std::deque<Delta> on_the_way_;  // by time
  std::vector<std::vector<double>> deltas_;
  std::vector<std::size_t> free_;
  Event pending_{0.0, 0, Event::kNobody};
  bool has_pending_ = false;
};

}  // namespace gossip::sim
