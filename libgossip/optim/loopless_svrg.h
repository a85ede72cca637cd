// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Loopless SVRG: a gradient estimator for small models with a full gradient from time to time.

#include <cstdint>
#include <functional>

#include <libgossip/model/state_dict.h>
#include <libgossip/optim/gradient_at.h>

namespace gossip::optim {

/// Chainable: LooplessSVRGOptions().probability(0.02).parts(8)
struct LooplessSVRGOptions {
  /// Of a new snapshot in a step: about the share of a rank's data that a batch is. Above 0 and at
  /// most 1.
  TORCH_ARG(double, probability) = 0.01;
  /// Parts that the full loss is computed in, one after the other. Must be positive.
  TORCH_ARG(std::int64_t, parts) = 1;
  /// Of the choice of steps. The same on all ranks, they renew in the same steps, and with
  /// synchronous optimizers nobody waits for another rank's full gradient.
  TORCH_ARG(std::uint64_t, seed) = 0;
};

/// Loopless SVRG (Kovalev, Horvath, Richtarik 2020, arXiv 1901.08689):
/// \f$ \nabla f(x; i) - \nabla f(w; i) + \nabla f(w) \f$ with a snapshot w of the parameters. It is
/// unbiased, and its variance vanishes as x and w approach a minimizer: with a constant step the
/// training converges linearly where SGD ends in a ball of noise.
///
/// A step first decides whether w becomes x, and then estimates (in the paper w changes after the
/// estimate). The first step always renews; a step that renews uses the full gradient.
///
///     LooplessSVRG svrg(*model, [&](std::int64_t part) { return loss(*model, data[part]); },
///                       LooplessSVRGOptions().parts(4));
///     svrg.backward([&] { return loss(*model, batch); });
///     optimizer.step();
///
/// The batches must be drawn uniformly from the data of the full loss. Losses of samples that
/// depend on each other (batch norm) have no full gradient in this sense.
///
/// See GradientAt for what holds for every estimator: losses, buffers, threads, errors. When the
/// full loss throws, the next step makes a new snapshot.
///
/// Memory: two copies of the model, and while backward() runs one gradient more than otherwise.
/// Cost: two gradients of the batch a step, and all data's with the probability given.
class LooplessSVRG {
 public:
  /// The mean loss over one part of this rank's data; parts are of the same size.
  using FullLoss = std::function<at::Tensor(std::int64_t part)>;

  /// Throws gossip::Error for an option out of range. Calls no loss yet.
  LooplessSVRG(torch::nn::Module& module, FullLoss full_loss,
               const LooplessSVRGOptions& options = {});

  /// Writes the estimate into the parameters' gradients and returns the loss of the batch at the
  /// present parameters, without its graph. `loss` is called twice, first at the snapshot. Local.
  at::Tensor backward(const GradientAt::LossClosure& loss);

  /// Full gradients so far.
  [[nodiscard]] std::int64_t snapshots() const noexcept { return snapshots_; }

  /// What save() writes, as aliases; and what reads that and returns what writes it back: for
  /// checkpoint::Checkpointer. Throws gossip::Error, and changes nothing, where load() does.
  [[nodiscard]] model::StateDict state_dict() const;
  [[nodiscard]] std::function<void()> plan_load(model::StateReader& saved);

  /// With the module's parameters, which are saved with the module, training resumes to the bit.
  /// The probability and the seed are loaded, too.
  void save(torch::serialize::OutputArchive& archive) const;

  /// Throws gossip::Error, and changes nothing, for the state of another estimator or model.
  void load(torch::serialize::InputArchive& archive);

 private:
  void renew();
  [[nodiscard]] GradientAt::Tensors state() const;

  GradientAt gradient_;
  FullLoss full_loss_;
  LooplessSVRGOptions options_;
  std::int64_t step_ = 0;
  std::int64_t snapshots_ = 0;
  bool has_snapshot_ = false;
  GradientAt::Tensors snapshot_;
  GradientAt::Tensors full_;  // the full gradient there
};

}  // namespace gossip::optim
