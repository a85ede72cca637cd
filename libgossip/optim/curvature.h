// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How curved a loss is.

#include <cstdint>
#include <functional>

#include <torch/optim/optimizer.h>

namespace torch::nn {
class Module;
}

namespace gossip::optim {

/// The largest absolute eigenvalue of the Hessian of `loss` in the module's trainable parameters
/// (those that show the same elements are one), at their present values, by power iteration from a
/// seeded start until an iteration changes it by less than 0.1 %, or `most_iterations`: an estimate
/// from below of the constant L of a smooth loss. Each iteration calls `loss`, which returns a
/// scalar of this rank's data, always the same, and goes back through it twice.
///
/// Local. Leaves parameters and gradients as they are. Memory: four copies of the model. Throws
/// gossip::Error for a loss that is no scalar or does not depend on the parameters.
[[nodiscard]] double largest_curvature(torch::nn::Module& module,
                                       const std::function<at::Tensor()>& loss,
                                       int most_iterations = 100, std::uint64_t seed = 1);

}  // namespace gossip::optim
