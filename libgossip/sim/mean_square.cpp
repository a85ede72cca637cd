// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include <libgossip/base/error.h>
#include <libgossip/base/random.h>
#include <libgossip/sim/mean_square.h>

namespace gossip::sim {
namespace {

/// Courses of one simulation, each as the values of all its vectors.
class Population {
 public:
  Population(std::span<const double> values, int courses)
      : size_(values.size()), courses_(static_cast<std::size_t>(courses)) {
    for (std::size_t k = 0; k < courses_; ++k) {
      values_.insert(values_.end(), values.begin(), values.end());
    }
  }

  [[nodiscard]] std::size_t courses() const noexcept { return courses_; }
  [[nodiscard]] std::span<double> course(std::size_t k) {
    return std::span<double>(values_).subspan(k * size_, size_);
  }

  /// Keeps each course in proportion to its weight, scaled by 1 / sqrt(weight); `offset` in [0, 1).
  void resample(std::span<const double> weights, double offset) {
    const double step =
        std::accumulate(weights.begin(), weights.end(), 0.0) / static_cast<double>(courses_);
    next_.resize(values_.size());
    double cumulated = weights[0];
    std::size_t chosen = 0;
    for (std::size_t k = 0; k < courses_; ++k) {
      const double position = (static_cast<double>(k) + offset) * step;
      while (cumulated <= position && chosen + 1 < courses_) cumulated += weights[++chosen];
      const double scale = 1.0 / std::sqrt(weights[chosen]);
      std::transform(course(chosen).begin(), course(chosen).end(),
                     next_.begin() + static_cast<std::ptrdiff_t>(k * size_),
                     [scale](double value) { return scale * value; });
    }
    values_.swap(next_);
  }

 private:
  std::size_t size_;
  std::size_t courses_;
  std::vector<double> values_;
  std::vector<double> next_;
};

double potential(const PairSimulation& simulation) {
  double sum = 0.0;
  for (int index = 0; index < simulation.num_vectors(); ++index) {
    sum += simulation.squared_consensus_distance(index);
  }
  return sum;
}

}  // namespace

std::vector<double> log_mean_squares(PairSimulation& simulation, PoissonClock& clock,
                                     std::span<const double> start, double until,
                                     const PopulationOptions& options) {
  GOSSIP_CHECK(options.courses >= 1 && options.interval > 0.0,
               "A population needs at least 1 course and an interval above 0, not {} and {}.",
               options.courses, options.interval);
  GOSSIP_CHECK(std::isfinite(until / options.interval),
               "A run until {} in intervals of {} has no end: both must be numbers.", until,
               options.interval);
  simulation.set_models(start);
  Population population(simulation.values(), options.courses);
  std::vector<double> weights(population.courses(), potential(simulation));
  double log_scale = std::log(weights[0]);
  population.resample(weights, 0.0);
  SplitMix64 generator(options.seed);
  std::vector<double> result;
  const auto steps = static_cast<std::int64_t>(std::floor(until / options.interval + 1e-9));
  for (std::int64_t step = 0; step < steps; ++step) {
    double sum_of_squares = 0.0;
    for (std::size_t k = 0; k < population.courses(); ++k) {
      const std::span<double> course = population.course(k);
      std::copy(course.begin(), course.end(), simulation.values().begin());
      // Poisson processes have no memory: the courses may follow each other in time.
      simulation.run(clock, simulation.time() + options.interval);
      std::copy(simulation.values().begin(), simulation.values().end(), course.begin());
      sum_of_squares += simulation.squared_consensus_distance();
      weights[k] = potential(simulation);
    }
    const double count = static_cast<double>(population.courses());
    result.push_back(log_scale + std::log(sum_of_squares / count));
    log_scale += std::log(std::accumulate(weights.begin(), weights.end(), 0.0) / count);
    population.resample(weights, generator.unit());
  }
  return result;
}

double fitted_slope(std::span<const double> times, std::span<const double> values) {
  GOSSIP_CHECK(times.size() == values.size() && times.size() >= 2,
               "A line needs at least 2 points, as many values as times, not {} and {}.",
               values.size(), times.size());
  const double count = static_cast<double>(times.size());
  const double time = std::accumulate(times.begin(), times.end(), 0.0) / count;
  double covariance = 0.0;
  double variance = 0.0;
  for (std::size_t k = 0; k < times.size(); ++k) {
    covariance += (times[k] - time) * values[k];
    variance += (times[k] - time) * (times[k] - time);
  }
  return covariance / variance;
}

}  // namespace gossip::sim
