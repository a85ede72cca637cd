// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How gradient estimators are saved and loaded.

#include <string_view>

#include <libgossip/optim/gradient_at.h>

namespace c10 {
struct IValue;
}

namespace gossip::optim::detail {

/// Writes which estimator this is, and its tensors.
void save_estimator(torch::serialize::OutputArchive& archive, std::string_view name,
                    const GradientAt::Tensors& tensors);

/// Throws gossip::Error unless the archive is the state of the estimator `name`.
void check_estimator(torch::serialize::InputArchive& archive, std::string_view name);

/// Throws gossip::Error, naming the key, when there is no such value.
[[nodiscard]] c10::IValue load_value(torch::serialize::InputArchive& archive, std::string_view key);

/// Reads into tensors of the right shapes and types. Throws gossip::Error, before it writes any,
/// when the archive has others.
void load_tensors(torch::serialize::InputArchive& archive, const GradientAt::Tensors& tensors);

}  // namespace gossip::optim::detail
