// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// SAGA: a gradient estimator for small models that remembers the gradient of each sample.

#include <cstdint>
#include <functional>

#include <libgossip/model/state_dict.h>
#include <libgossip/optim/gradient_at.h>

namespace gossip::optim {

/// SAGA (Defazio, Bach, Lacoste-Julien 2014, arXiv 1407.0202):
/// \f$ \nabla f_i(x) - t_i + \frac1n \sum_j t_j \f$, after which \f$ t_i \leftarrow \nabla f_i(x)
/// \f$, for a table t of the last gradient of each of n entries: samples, or batches that stay the
/// same. The table is zero at first. The estimate is unbiased whatever the table holds, and its
/// variance vanishes as the entries are visited near a minimizer: with a constant step the training
/// converges linearly where SGD ends in a ball of noise.
///
///     Saga saga(*model, num_samples);
///     const std::int64_t i = random.below(num_samples);
///     saga.backward(i, [&] { return loss(*model, sample(i)); });
///     optimizer.step();
///
/// The index must be drawn uniformly, and an index stands for the same data at all times.
///
/// See GradientAt for what holds for every estimator: losses, buffers, threads, errors.
///
/// Memory: one copy of the model for each entry, and one more. Cost: one gradient a step.
class Saga {
 public:
  /// Throws gossip::Error unless there is at least one entry.
  Saga(torch::nn::Module& module, std::int64_t num_entries);

  /// Writes the estimate into the parameters' gradients and returns the loss, without its graph.
  /// `loss` is that of the data of `entry`, from 0, and called once. Local. Throws gossip::Error
  /// for an entry out of range.
  at::Tensor backward(std::int64_t entry, const GradientAt::LossClosure& loss);

  [[nodiscard]] std::int64_t num_entries() const noexcept { return num_entries_; }

  /// What save() writes, as aliases; and what reads that and returns what writes it back: for
  /// checkpoint::Checkpointer. Throws gossip::Error, and changes nothing, where load() does.
  [[nodiscard]] model::StateDict state_dict() const;
  [[nodiscard]] std::function<void()> plan_load(model::StateReader& saved);

  /// With the module's parameters, which are saved with the module, training resumes to the bit.
  void save(torch::serialize::OutputArchive& archive) const;

  /// Throws gossip::Error, and changes nothing, for the state of another estimator or model, or of
  /// another number of entries.
  void load(torch::serialize::InputArchive& archive);

 private:
  [[nodiscard]] GradientAt::Tensors state() const;

  GradientAt gradient_;
  std::int64_t num_entries_;
  GradientAt::Tensors mean_;   // of the table
  GradientAt::Tensors table_;  // of each parameter [num_entries, shape...]
};

}  // namespace gossip::optim
