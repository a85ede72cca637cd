// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <libgossip/base/random.h>
#include <libgossip/optim/loopless_svrg.h>
#include <libgossip/optim/saga.h>
#include <libgossip/optim/storm.h>

#include "optim/optim_test_support.h"

namespace gossip::test {

using Tensors = std::vector<torch::Tensor>;

constexpr std::int64_t kSamples = 8;

/// f_i(x) = (a_i x - b_i)^2 / 2 for 8 samples that no x fits.
struct LeastSquares : torch::nn::Module {
  LeastSquares() {
    const auto real = torch::kFloat64;
    const torch::Tensor numbers = torch::arange(kSamples * 3, real).reshape({kSamples, 3});
    a = torch::sin(numbers.square());
    b = torch::cos(torch::arange(kSamples, real));
    x = register_parameter("x", torch::tensor({0.5, -1.0, 2.0}, real));
  }
  [[nodiscard]] torch::Tensor losses() const { return 0.5 * (torch::mv(a, x) - b).square(); }
  [[nodiscard]] torch::Tensor loss(std::int64_t sample) const { return losses()[sample]; }
  [[nodiscard]] torch::Tensor full_loss() const { return losses().mean(); }
  [[nodiscard]] torch::Tensor full_gradient() const {
    return torch::mv(a.t(), torch::mv(a, x.detach()) - b) / static_cast<double>(kSamples);
  }
  [[nodiscard]] torch::Tensor minimizer() const {
    return torch::linalg_solve(torch::mm(a.t(), a), torch::mv(a.t(), b));
  }
  [[nodiscard]] double error() const { return (x.detach() - minimizer()).norm().item<double>(); }

  /// The largest of the f_i's smoothness constants.
  [[nodiscard]] double smoothness() const { return a.square().sum(1).max().item<double>(); }

  [[nodiscard]] optim::LooplessSVRG::FullLoss parts(std::int64_t count) const {
    return [this, size = kSamples / count](std::int64_t part) {
      return losses().narrow(0, part * size, size).mean();
    };
  }

  torch::Tensor a;
  torch::Tensor b;
  torch::Tensor x;
};

/// The sample of a step.
inline std::int64_t sample_of(int step) {
  return static_cast<std::int64_t>(
      SplitMix64::at(5, static_cast<std::uint64_t>(step)).below(std::uint64_t{kSamples}));
}

/// x <- x - rate * gradient.
inline void descend(const torch::nn::Module& module, double rate) {
  const torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : module.parameters()) parameter.sub_(rate * parameter.grad());
}

inline Tensors gradients_of(const torch::nn::Module& module) {
  Tensors gradients;
  for (const torch::Tensor& parameter : module.parameters()) {
    if (parameter.requires_grad()) gradients.push_back(parameter.grad().clone());
  }
  return gradients;
}

/// What save() writes.
template <class Estimator>
std::string saved(const Estimator& estimator) {
  torch::serialize::OutputArchive archive;
  estimator.save(archive);
  std::ostringstream stream;
  archive.save_to(stream);
  return stream.str();
}

template <class Estimator>
void restore(Estimator& estimator, const std::string& state) {
  torch::serialize::InputArchive archive;
  archive.load_from(state.data(), state.size());
  estimator.load(archive);
}

inline double max_distance(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

}  // namespace gossip::test
