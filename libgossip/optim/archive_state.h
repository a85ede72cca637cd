// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A state as an archive of LibTorch.

#include <torch/optim/optimizer.h>

#include <libgossip/model/state_dict.h>

namespace gossip::optim {

/// Writes all entries under their names. Local.
void write_state(torch::serialize::OutputArchive& archive, const model::StateDict& state);

/// All entries of an archive that are tensors, numbers or texts. Local.
[[nodiscard]] model::StateDict read_state(torch::serialize::InputArchive& archive);

}  // namespace gossip::optim
