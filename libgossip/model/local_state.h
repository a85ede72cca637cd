// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What a local optimizer of LibTorch has to save.

#include <functional>
#include <string>

#include <libgossip/model/state_dict.h>

namespace torch::optim {
class Optimizer;
}

namespace gossip::model {

/// The name that a parameter is saved under.
using ParameterName = std::function<std::string(const at::Tensor&)>;

/// "sgd", "adam", "adamw", "rmsprop" or "adagrad"; for others the name of their class.
[[nodiscard]] std::string local_name(const torch::optim::Optimizer& local);

/// Whether its save() writes nothing, as LibTorch's own does that is not overridden: options and
/// state are not saved then. Serializes it. Local.
[[nodiscard]] bool saves_nothing(const torch::optim::Optimizer& local);

/// Adds the options of each parameter group ("group.0.lr") and the state of each parameter
/// ("hidden.weight.exp_avg"), as aliases.
///
/// The five optimizers that local_name() names by themselves are known. Others are asked to
/// serialize themselves, and what they write is one tensor of bytes ("serialized"): that copies all
/// of their state, so it is slower and needs as much memory. Throws gossip::Error for one that has
/// a state and writes nothing. Local.
[[nodiscard]] StateDict local_state(const torch::optim::Optimizer& local,
                                    const ParameterName& name_of);

/// Reads what local_state() made, checks it against the parameters, and returns what writes it into
/// `local`, which must outlive the result. Throws gossip::Error, and changes nothing, for the state
/// of another local optimizer or other parameters. Local.
[[nodiscard]] std::function<void()> plan_local_state(torch::optim::Optimizer& local,
                                                     const ParameterName& name_of,
                                                     StateReader& saved);

}  // namespace gossip::model
