// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Gradients of a module at its present and at other parameters: what gradient estimators share.

#include <string>
#include <utility>
#include <vector>

#include <torch/optim/optimizer.h>

namespace torch::nn {
class Module;
}

namespace gossip::optim {

/// Evaluates the gradient of a loss at a module's parameters and at other points, and leaves the
/// module as it was.
///
/// Storm, LooplessSVRG and Saga are made of it, and what follows holds for all of them. They stand
/// between a model and any optimizer, of LibTorch or of this library: their backward() takes the
/// place of the loss's,
///
///     estimator.backward([&] { return loss(model, batch); });
///     optimizer.step();
///
/// and leaves its estimate in the gradients of the parameters that require one, whatever these held
/// before. A parameter that the loss does not use has the gradient zero, and gets it.
///
/// A loss that is evaluated at several points has to be the same function each time: draw the batch
/// outside, and where the model is random (dropout) set the seed inside. It must read the
/// parameters through the module. Buffers (statistics of batch norm) are as after one forward pass
/// at the present parameters.
///
/// The module's tensors stay the same, and so does their memory, even during the call: an
/// evaluation elsewhere lets them refer to other memory meanwhile. Ranks that mix with this one in
/// the background (ADPSGD, A2CiD2) read nothing but its present model. The hooks of backward passes
/// do not run: AllReduce communicates in step(), not during the pass. With several batches a step
/// give the estimator one loss of all of them; gradients are not accumulated.
///
/// Local, whatever the optimizer. Threads: one at a time. Move-only. Errors: gossip::Error for a
/// module without trainable parameters, for a loss that is undefined, and, naming the parameter,
/// when one has changed its shape, type or device, or was frozen or unfrozen; what the loss throws
/// passes through. Then the module's tensors are as before, and unless said otherwise the
/// estimator, too.
class GradientAt {
 public:
  using LossClosure = torch::optim::Optimizer::LossClosure;

  /// One tensor a parameter.
  using Tensors = std::vector<at::Tensor>;

  struct Evaluation {
    at::Tensor loss;   ///< without its graph
    Tensors gradient;  ///< to be read only: tensors may share memory
  };

  /// The parameters that require gradients now, each once, and the buffers that there are now.
  explicit GradientAt(torch::nn::Module& module);
  GradientAt(const GradientAt&) = delete;
  GradientAt& operator=(const GradientAt&) = delete;
  GradientAt(GradientAt&&) = default;
  GradientAt& operator=(GradientAt&&) = default;
  ~GradientAt() = default;

  /// At the present parameters. Buffers change as in any forward pass.
  [[nodiscard]] Evaluation here(const LossClosure& loss) const;

  /// At `point`, whose shapes are the parameters'. Memory: one copy of the buffers, made at the
  /// first call.
  [[nodiscard]] Evaluation at(const Tensors& point, const LossClosure& loss);

  /// A new copy of the model, of zeros.
  [[nodiscard]] Tensors zeros() const;

  [[nodiscard]] const Tensors& parameters() const noexcept { return parameters_; }

  /// The parameters' gradients, to be written; made, with any contents, where there is none.
  [[nodiscard]] Tensors gradients() const;

 private:
  void check() const;

  std::vector<std::pair<std::string, at::Tensor>> frozen_;
  std::vector<std::string> names_;
  Tensors parameters_;
  Tensors nothing_;  // a zero of each parameter's shape and type, in the memory of one element
  std::vector<at::Tensor> buffers_;
  std::vector<at::Tensor> other_buffers_;  // for evaluations elsewhere
};

/// `to` = `from`, tensor by tensor.
void copy_(const GradientAt::Tensors& to, const GradientAt::Tensors& from);

}  // namespace gossip::optim
