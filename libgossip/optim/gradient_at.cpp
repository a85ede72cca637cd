// SPDX-License-Identifier: Apache-2.0
#include <unordered_set>
#include <utility>

#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>

#include <libgossip/base/error.h>
#include <libgossip/optim/gradient_at.h>

namespace gossip::optim {
namespace {

/// Lets tensors refer to other memory while this object lives. Their own is not written, and nobody
/// who reads it notices.
class Elsewhere {
 public:
  Elsewhere() = default;
  Elsewhere(const Elsewhere&) = delete;
  Elsewhere& operator=(const Elsewhere&) = delete;
  ~Elsewhere() {
    // The first to be moved comes last, in case that a tensor was moved twice.
    for (auto it = moved_.rbegin(); it != moved_.rend(); ++it) it->first.set_data(it->second);
  }

  void move(const at::Tensor& tensor, const at::Tensor& to) {
    moved_.emplace_back(tensor, tensor.variable_data());
    tensor.set_data(to);
  }

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> moved_;
};

bool is_like(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && a.device() == b.device();
}

std::string description_of(const at::Tensor& tensor) {
  return fmt::format("{} [{}] on {}", c10::toString(tensor.scalar_type()),
                     fmt::join(tensor.sizes(), ", "), tensor.device().str());
}

}  // namespace

GradientAt::GradientAt(torch::nn::Module& module) : buffers_(module.buffers()) {
  std::unordered_set<const void*> seen;
  for (const auto& item : module.named_parameters()) {
    const at::Tensor& parameter = item.value();
    if (!seen.insert(parameter.unsafeGetTensorImpl()).second) continue;
    if (!parameter.requires_grad()) {
      frozen_.emplace_back(item.key(), parameter);
      continue;
    }
    names_.push_back(item.key());
    parameters_.push_back(parameter);
    nothing_.push_back(at::zeros({}, parameter.options()).expand(parameter.sizes()));
  }
  GOSSIP_CHECK(!parameters_.empty(),
               "The module '{}' has no parameters that require gradients: there is no gradient to "
               "estimate.",
               module.name());
}

void GradientAt::check() const {
  for (const auto& [name, parameter] : frozen_) {
    GOSSIP_CHECK(!parameter.requires_grad(),
                 "Parameter '{}' was frozen when the gradient estimator was made and is trainable "
                 "now: make a new estimator after unfreezing.",
                 name);
  }
  for (std::size_t k = 0; k < parameters_.size(); ++k) {
    GOSSIP_CHECK(is_like(parameters_[k], nothing_[k]),
                 "Parameter '{}' was {} when the gradient estimator was made and is {} now: "
                 "convert the module first, then make the estimator.",
                 names_[k], description_of(nothing_[k]), description_of(parameters_[k]));
    GOSSIP_CHECK(parameters_[k].requires_grad(),
                 "Parameter '{}' was trainable when the gradient estimator was made and is frozen "
                 "now: make a new estimator after freezing.",
                 names_[k]);
  }
}

GradientAt::Evaluation GradientAt::here(const LossClosure& loss) const {
  check();
  GOSSIP_CHECK(loss != nullptr,
               "The loss is an empty function: give one that returns the loss, without calling "
               "backward().");
  const at::AutoGradMode with_gradients(true);
  const at::Tensor value = loss();
  GOSSIP_CHECK(value.defined(),
               "The loss function returned an undefined tensor: it must return the loss, without "
               "calling backward().");
  // Not value.backward(), whose hooks would send this gradient instead of the estimate.
  Evaluation result{value.detach(), torch::autograd::grad({value}, parameters_, {}, std::nullopt,
                                                          false, /*allow_unused=*/true)};
  for (std::size_t k = 0; k < parameters_.size(); ++k) {
    at::Tensor& gradient = result.gradient[k];
    if (!gradient.defined()) {
      gradient = nothing_[k];
    } else if (gradient.is_sparse()) {
      gradient = gradient.to_dense();
    }
  }
  return result;
}

GradientAt::Evaluation GradientAt::at(const Tensors& point, const LossClosure& loss) {
  check();
  if (other_buffers_.empty()) {
    for (const at::Tensor& buffer : buffers_) other_buffers_.push_back(at::empty_like(buffer));
  }
  copy_(other_buffers_, buffers_);
  Elsewhere elsewhere;
  for (std::size_t k = 0; k < parameters_.size(); ++k) elsewhere.move(parameters_[k], point[k]);
  for (std::size_t b = 0; b < buffers_.size(); ++b) elsewhere.move(buffers_[b], other_buffers_[b]);
  return here(loss);
}

GradientAt::Tensors GradientAt::zeros() const {
  Tensors result;
  for (const at::Tensor& parameter : parameters_) result.push_back(at::zeros_like(parameter));
  return result;
}

GradientAt::Tensors GradientAt::gradients() const {
  Tensors result;
  for (const at::Tensor& parameter : parameters_) {
    at::Tensor& gradient = parameter.mutable_grad();
    if (!gradient.defined() || gradient.is_sparse()) gradient = at::empty_like(parameter);
    result.push_back(gradient);
  }
  return result;
}

void copy_(const GradientAt::Tensors& to, const GradientAt::Tensors& from) {
  const at::NoGradGuard no_grad;
  for (std::size_t k = 0; k < to.size(); ++k) to[k].copy_(from[k]);
}

}  // namespace gossip::optim
