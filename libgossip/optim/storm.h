// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// STORM: a gradient estimator for networks, without large batches.

#include <functional>

#include <libgossip/model/state_dict.h>
#include <libgossip/optim/gradient_at.h>

namespace gossip::optim {

/// Chainable: StormOptions().a(0.2)
struct StormOptions {
  /// How much of the estimate is forgotten a step; 1: all of it, which is the plain gradient. Above
  /// 0 and at most 1.
  TORCH_ARG(double, a) = 0.1;
};

/// STORM (Cutkosky and Orabona 2019, arXiv 1905.10018): momentum whose bias is corrected by the
/// same batch's gradient at the last parameters,
/// \f$ d_t = \nabla f(x_t; \xi_t) + (1 - a) (d_{t-1} - \nabla f(x_{t-1}; \xi_t)) \f$;
/// the first \f$ d \f$ is the plain gradient. Its error shrinks as the steps do. With
/// \f$ a = c\,\eta_t^2 \f$, set by set_a(), it reaches \f$ O(T^{-1/3}) \f$ where SGD reaches
/// \f$ O(T^{-1/4}) \f$. With GradientTracking this is GT-HSGD (Xin, Khan, Kar 2021).
///
/// The last parameters are those of the last backward(): a step and the mixing lie between. Use a
/// local optimizer without momentum of its own.
///
/// See GradientAt for what holds for every estimator: losses, buffers, threads, errors.
///
/// Memory: two copies of the model, and while backward() runs one gradient more than otherwise.
/// Cost: two gradients of the batch a step; one with a = 1.
class Storm {
 public:
  /// Throws gossip::Error for an option out of range.
  explicit Storm(torch::nn::Module& module, const StormOptions& options = {});

  /// Writes the estimate into the parameters' gradients and returns the loss at the present
  /// parameters, without its graph. `loss` is called twice, first at the last parameters. Local.
  at::Tensor backward(const GradientAt::LossClosure& loss);

  [[nodiscard]] double a() const noexcept { return a_; }

  /// From the next backward() on. Throws gossip::Error when out of range.
  void set_a(double a);

  /// What save() writes, as aliases; and what reads that and returns what writes it back: for
  /// checkpoint::Checkpointer. Throws gossip::Error, and changes nothing, where load() does.
  [[nodiscard]] model::StateDict state_dict() const;
  [[nodiscard]] std::function<void()> plan_load(model::StateReader& saved);

  /// With the module's parameters, which are saved with the module, training resumes to the bit.
  void save(torch::serialize::OutputArchive& archive) const;

  /// Throws gossip::Error, and changes nothing, for the state of another estimator or model.
  void load(torch::serialize::InputArchive& archive);

 private:
  [[nodiscard]] GradientAt::Tensors state() const;

  GradientAt gradient_;
  double a_ = 1.0;
  bool has_previous_ = false;
  GradientAt::Tensors previous_;  // parameters
  GradientAt::Tensors estimate_;
};

}  // namespace gossip::optim
