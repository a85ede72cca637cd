// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The network of the Fashion-MNIST examples, and its learning rate.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include <torch/torch.h>

#include "common/fashion_mnist.h"

namespace gossip::examples {

/// Two convolutions of 16 and 32 channels and 128 hidden units: 207,178 parameters. With the stride
/// in the first convolution a training step takes 0.42 of the time that 5 x 5 convolutions, each
/// with pooling behind it, take (215,370 parameters; batch of 64, one thread).
struct CnnImpl : torch::nn::Module {
  CnnImpl() {
    register_module("conv1", conv1);
    register_module("conv2", conv2);
    register_module("hidden", hidden);
    register_module("output", output);
  }

  /// [n, 1, 28, 28] -> [n, 10] (logits)
  torch::Tensor forward(const torch::Tensor& images) {
    torch::Tensor x = conv1(images).relu_();     // [n, 16, 14, 14]
    x = torch::max_pool2d(conv2(x), 2).relu_();  // [n, 32, 7, 7]
    return output(hidden(x.flatten(1)).relu_());
  }

  torch::nn::Conv2d conv1{torch::nn::Conv2dOptions(1, 16, 5).stride(2).padding(2)};
  torch::nn::Conv2d conv2{torch::nn::Conv2dOptions(16, 32, 3).padding(1)};
  torch::nn::Linear hidden{32 * 7 * 7, 128};
  torch::nn::Linear output{128, ImageDataset::kClasses};
};
TORCH_MODULE(Cnn);

/// How many of the `count` images of `data` from number `first` on `model` classifies right. Leaves
/// the model in the mode it was in.
template <class Model>
std::int64_t num_correct(Model& model, const ImageDataset& data, std::int64_t first,
                         std::int64_t count) {
  constexpr std::int64_t kBatch = 500;
  const torch::NoGradGuard no_grad;
  const bool was_training = model->is_training();
  model->eval();
  std::int64_t correct = 0;
  for (std::int64_t done = 0; done < count; done += kBatch) {
    const Batch batch = data.range(first + done, std::min(kBatch, count - done));
    correct +=
        model->forward(batch.images).argmax(1).eq(batch.labels).sum().template item<std::int64_t>();
  }
  model->train(was_training);
  return correct;
}

/// The one-cycle schedule: from 4 % of `peak` linearly up to `peak` during the first quarter of the
/// run, then along a cosine down to zero. `done` is the share of the run's steps that are done, in
/// [0, 1).
inline double one_cycle_rate(double peak, double done) {
  constexpr double kFirst = 0.04;
  constexpr double kWarmUp = 0.25;
  if (done < kWarmUp) return peak * (kFirst + (1 - kFirst) * done / kWarmUp);
  return peak * 0.5 * (1 + std::cos(std::numbers::pi * (done - kWarmUp) / (1 - kWarmUp)));
}

}  // namespace gossip::examples
