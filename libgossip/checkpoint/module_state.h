// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What a module and LibTorch's random numbers have to save.

#include <functional>

#include <libgossip/model/state_dict.h>

namespace torch::nn {
class Module;
}

namespace gossip::checkpoint {

/// The parameters and buffers of a module under their names, each once, as aliases. Local.
[[nodiscard]] model::StateDict module_state(const torch::nn::Module& module);

/// Reads what module_state() gave, checks it against the module, and returns what writes it there;
/// the parameters stay where they are. Throws gossip::Error, and changes nothing, for the state of
/// another module. Local.
[[nodiscard]] std::function<void()> plan_module_state(const torch::nn::Module& module,
                                                      model::StateReader& saved);

/// The state of the CPU's random numbers, a copy.
[[nodiscard]] at::Tensor random_state();
void set_random_state(const at::Tensor& state);

}  // namespace gossip::checkpoint
