// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Gradient estimators for losses that are means over samples, for simulated workers. The forms for
/// LibTorch's modules are optim::Saga and optim::LooplessSVRG.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <libgossip/base/random.h>
#include <libgossip/base/types.h>

namespace gossip::sim {

/// Losses \f$ f_i = \frac1m \sum_s f_{is} \f$ of workers i with samples s.
struct FiniteSum {
  /// Writes the gradient of one sample's loss at `x` into `gradient`.
  using ComponentGradient = std::function<void(
      Rank worker, std::int64_t sample, std::span<const double> x, std::span<double> gradient)>;

  int size = 0;                  ///< workers
  std::int64_t num_samples = 0;  ///< m, of each worker
  std::size_t num_elements = 0;
  ComponentGradient component_gradient;
};

/// SAGA (Defazio, Bach, Lacoste-Julien 2014, arXiv 1407.0202) at each worker: \f$ \nabla f_s(x) -
/// t_s + \frac1m \sum_r t_r \f$ for a sample s drawn uniformly, after which \f$ t_s \leftarrow
/// \nabla f_s(x) \f$; the table t is zero at first. With GradientTracking it makes GT-SAGA.
///
/// ```
/// Saga saga(losses, seed);
/// group.step([&](Rank i, auto x, auto gradient) { saga.estimate(i, x, gradient); });
/// ```
///
/// Memory: a model for each sample. Cost: one component gradient an estimate. Local; one thread.
class Saga {
 public:
  /// Each worker draws from a stream of its own. Throws gossip::Error unless there are a worker, a
  /// sample and a function.
  Saga(FiniteSum losses, std::uint64_t seed);

  /// Writes the estimate at `model` into `gradient`; both have `num_elements`.
  void estimate(Rank worker, std::span<const double> model, std::span<double> gradient);

  [[nodiscard]] std::int64_t component_gradients() const noexcept { return component_gradients_; }

 private:
  FiniteSum losses_;
  std::vector<SplitMix64> generators_;
  std::vector<double> table_;  // [size][num_samples][num_elements]
  std::vector<double> means_;  // of the table, [size][num_elements]
  std::int64_t component_gradients_ = 0;
};

/// Loopless SVRG (Kovalev, Horvath, Richtarik 2020, arXiv 1901.08689) at each worker: \f$ \nabla
/// f_s(x) - \nabla f_s(w) + \nabla f(w) \f$ for a sample s drawn uniformly and a snapshot w. An
/// estimate first decides, with a probability, whether w becomes x; the first one always renews.
/// All workers renew in the same steps. With GradientTracking it makes loopless GT-SVRG.
///
/// Memory: two models a worker. Cost: two component gradients an estimate, or all m where it renews
/// (the estimate is the full gradient then). Local; one thread.
class LooplessSVRG {
 public:
  /// A probability of 1 / m balances the costs. Throws gossip::Error as Saga, and for a probability
  /// that is not above 0 and at most 1.
  LooplessSVRG(FiniteSum losses, double probability, std::uint64_t seed);

  /// Writes the estimate at `model` into `gradient`; both have `num_elements`.
  void estimate(Rank worker, std::span<const double> model, std::span<double> gradient);

  [[nodiscard]] std::int64_t component_gradients() const noexcept { return component_gradients_; }

 private:
  void renew(Rank worker, std::span<const double> model);

  FiniteSum losses_;
  double probability_;
  std::uint64_t seed_;
  std::vector<SplitMix64> generators_;
  std::vector<std::uint64_t> estimates_;  // of each worker
  std::vector<double> snapshots_;         // [size][num_elements]
  std::vector<double> full_;              // the full gradients there
  std::vector<double> component_;
  std::int64_t component_gradients_ = 0;
};

}  // namespace gossip::sim
