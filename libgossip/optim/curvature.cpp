// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <libgossip/base/error.h>
#include <libgossip/model/memory.h>
#include <libgossip/optim/curvature.h>

namespace gossip::optim {
namespace {

using Tensors = std::vector<at::Tensor>;

/// A tensor with all that show the same elements (set_data()): together they are one variable.
using Tied = Tensors;

/// The trainable parameters, each once, whatever its names are.
std::vector<Tied> variables(const torch::nn::Module& module) {
  std::vector<Tied> result;
  std::unordered_set<const void*> seen;
  for (const at::Tensor& parameter : module.parameters()) {
    if (!parameter.requires_grad()) continue;
    if (!seen.insert(parameter.unsafeGetTensorImpl()).second) continue;
    const auto shows_the_same = [&](const Tied& tied) {
      return model::is_alias(tied.front(), parameter);
    };
    const auto tied = std::ranges::find_if(result, shows_the_same);
    if (tied != result.end()) {
      tied->push_back(parameter);
    } else {
      result.push_back({parameter});
    }
  }
  return result;
}

double norm(const Tensors& vectors) {
  double squares = 0.0;
  for (const at::Tensor& vector : vectors) {
    squares += vector.to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(squares);
}

Tensors scaled(const Tensors& vectors, double factor) {
  Tensors result;
  for (const at::Tensor& vector : vectors) result.push_back(vector * factor);
  return result;
}

/// The derivatives of `value`, a tensor a variable: the sum over those that are tied.
Tensors derivatives(const at::Tensor& value, const std::vector<Tied>& variables, bool once_more) {
  Tensors inputs;
  for (const Tied& tied : variables) inputs.insert(inputs.end(), tied.begin(), tied.end());
  const Tensors each = torch::autograd::grad({value}, inputs, {}, /*retain_graph=*/once_more,
                                             /*create_graph=*/once_more, /*allow_unused=*/true);
  Tensors result;
  auto next = each.begin();
  for (const Tied& tied : variables) {
    at::Tensor sum;
    for (std::size_t i = 0; i < tied.size(); ++i, ++next) {
      if (next->defined()) sum = sum.defined() ? sum + *next : *next;
    }
    result.push_back(sum);
  }
  return result;
}

/// The Hessian times `direction`.
Tensors product(const std::vector<Tied>& variables, const std::function<at::Tensor()>& loss,
                const Tensors& direction) {
  const at::AutoGradMode with_gradients(true);
  const at::Tensor value = loss();
  GOSSIP_CHECK(value.numel() == 1 && value.requires_grad(),
               "The loss for the curvature has {} elements and {} on the parameters: it must be a "
               "scalar that does.",
               value.numel(), value.requires_grad() ? "depends" : "does not depend");
  const Tensors gradient = derivatives(value, variables, /*once_more=*/true);
  at::Tensor slope = at::zeros({}, value.options().requires_grad(false));
  for (std::size_t i = 0; i < variables.size(); ++i) {
    if (gradient[i].defined()) slope = slope + (gradient[i] * direction[i]).sum();
  }
  Tensors result = slope.requires_grad() ? derivatives(slope, variables, /*once_more=*/false)
                                         : Tensors(variables.size());  // the loss is linear
  for (std::size_t i = 0; i < variables.size(); ++i) {
    if (!result[i].defined()) result[i] = at::zeros_like(variables[i].front());
  }
  return result;
}

}  // namespace

double largest_curvature(torch::nn::Module& module, const std::function<at::Tensor()>& loss,
                         int most_iterations, std::uint64_t seed) {
  GOSSIP_CHECK(loss != nullptr, "The loss is an empty function: give one that returns the loss.");
  constexpr double kTolerance = 1e-3;
  const std::vector<Tied> parameters = variables(module);
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  Tensors direction;
  // A start has a part of about 1 / N along the largest one, which has to grow first.
  double elements = 0.0;
  for (const Tied& tied : parameters) {
    const at::Tensor& parameter = tied.front();
    direction.push_back(
        at::randn(parameter.sizes(), generator, parameter.options().requires_grad(false)));
    elements += static_cast<double>(parameter.numel());
  }
  const int least_iterations = 10 + static_cast<int>(std::log2(std::max(1.0, elements)));
  double largest = 0.0;
  for (int iteration = 0; iteration < most_iterations; ++iteration) {
    const double length = norm(direction);
    if (length == 0.0) return 0.0;
    direction = product(parameters, loss, scaled(direction, 1.0 / length));
    const double before = largest;
    largest = norm(direction);
    if (iteration >= least_iterations && std::abs(largest - before) < kTolerance * largest) break;
  }
  return largest;
}

}  // namespace gossip::optim
