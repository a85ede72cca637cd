// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The mean square over all courses of a simulation, heavy tails included.

#include <cstdint>
#include <span>
#include <vector>

#include <libgossip/sim/pair_simulation.h>

namespace gossip::sim {

struct PopulationOptions {
  /// Courses at a time.
  int courses = 4000;
  /// Time between two resamplings.
  double interval = 5.0;
  /// For the resampling.
  std::uint64_t seed = 1;
};

/// Estimates \f$ \ln E|\pi x_t|^2 \f$ at t = interval, 2 interval, ... up to `until`, when all
/// vectors start at `start` [size][num_elements].
///
/// The mean over independent courses fails for large t: few rare courses, which a sample does not
/// hold, make up the mean. So the courses form a population: after each interval they are resampled
/// in proportion to the growth of \f$ \phi = \sum_v |\pi v|^2 \f$ over all vectors v (systematic
/// resampling) and scaled to \f$ \phi = 1 \f$, which linear dynamics allow; the product of the mean
/// growths times the mean of \f$ |\pi x|^2 / \phi \f$ is an unbiased estimate of \f$ E|\pi x_t|^2
/// \f$ (Del Moral 2004, Feynman-Kac Formulae). `simulation` must be without delay and `clock`
/// without gradients; both are used up.
[[nodiscard]] std::vector<double> log_mean_squares(PairSimulation& simulation, PoissonClock& clock,
                                                   std::span<const double> start, double until,
                                                   const PopulationOptions& options = {});

/// The slope of the straight line through (times, values) by least squares.
[[nodiscard]] double fitted_slope(std::span<const double> times, std::span<const double> values);

}  // namespace gossip::sim
