// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// When who does what: events at the times of Poisson processes.

#include <cstdint>
#include <vector>

#include <libgossip/base/random.h>
#include <libgossip/topology/spectral.h>

namespace gossip::sim {

/// Something happens, at `time`.
struct Event {
  /// In units of the mean time of one gradient.
  double time;
  /// The worker that evaluates a gradient, or one end of a pair event.
  Rank worker;
  /// The other end of a pair event; kNobody for a gradient.
  Rank peer;

  static constexpr Rank kNobody = -1;
  [[nodiscard]] bool is_gradient() const noexcept { return peer == kNobody; }
};

/// The superposition of independent Poisson processes: gradients at each of the workers, at one
/// rate or each at its own, and pair events at the intensity of each edge. The same seed gives the
/// same events on every machine: an event draws u1 for the time, \f$ -\ln(1 - u_1) / \Lambda \f$
/// after the last with the total rate \f$ \Lambda \f$, and u2 for what happens, by the inverse of
/// the cumulated rates, gradients first.
class PoissonClock {
 public:
  /// `edges` join the workers 0..size-1. Throws gossip::Error for a rate below 0, an intensity that
  /// is not positive, an edge that joins no two of the workers, and when nothing would ever happen.
  PoissonClock(int size, const std::vector<topology::EdgeIntensity>& edges, double gradient_rate,
               std::uint64_t seed);

  /// Worker i evaluates gradients at `gradient_rates`[i]; equal rates give the events of the other
  /// constructor. Throws as that one, and where the rates are not one a worker.
  PoissonClock(int size, const std::vector<topology::EdgeIntensity>& edges,
               std::vector<double> gradient_rates, std::uint64_t seed);

  /// The next event.
  Event next();

  /// Replaces the edges from `time` on, which becomes the time that the next event comes after: one
  /// that was drawn beyond it has to be dropped (Poisson processes do not remember). Throws as the
  /// constructor, and for a time before the last change.
  void change_edges(double time, const std::vector<topology::EdgeIntensity>& edges);

 private:
  void set_edges(const std::vector<topology::EdgeIntensity>& edges);
  [[nodiscard]] Rank worker_at(double position) const;

  int size_;
  double gradient_rate_;                     // of each worker, where all are equal
  std::vector<double> cumulated_gradients_;  // otherwise, of their rates
  double gradients_;                         // of all workers
  std::vector<topology::EdgeIntensity> edges_;
  std::vector<double> cumulated_;  // of the intensities
  double total_ = 0.0;
  double time_ = 0.0;
  double changed_ = 0.0;  // at which time the edges became what they are
  SplitMix64 generator_;
};

}  // namespace gossip::sim
