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

/// The superposition of independent Poisson processes: gradients at `gradient_rate` at each of the
/// workers, pair events at the intensity of each edge. The same seed gives the same events on every
/// machine: an event draws u1 for the time, \f$ -\ln(1 - u_1) / \Lambda \f$ after the last with the
/// total rate \f$ \Lambda \f$, and u2 for what happens, by the inverse of the cumulated rates,
/// gradients first.
class PoissonClock {
 public:
  /// `edges` join the workers 0..size-1. Throws gossip::Error for a rate below 0, an intensity that
  /// is not positive, an edge that joins no two of the workers, and when nothing would ever happen.
  PoissonClock(int size, const std::vector<topology::EdgeIntensity>& edges, double gradient_rate,
               std::uint64_t seed);

  /// The next event.
  Event next();

 private:
  int size_;
  double gradient_rate_;
  std::vector<topology::EdgeIntensity> edges_;
  std::vector<double> cumulated_;  // of the intensities
  double total_;
  double time_ = 0.0;
  SplitMix64 generator_;
};

}  // namespace gossip::sim
