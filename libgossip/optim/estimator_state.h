// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// What gradient estimators have to save.

#include <functional>
#include <string_view>

#include <libgossip/model/state_dict.h>
#include <libgossip/optim/gradient_at.h>

namespace gossip::optim::detail {

/// Which estimator this is, and its tensors, as aliases.
[[nodiscard]] model::StateDict estimator_state(std::string_view name,
                                               const GradientAt::Tensors& tensors);

/// Reads that and returns what writes it into tensors of the same shapes and types. Throws
/// gossip::Error, and changes nothing, for the state of another estimator or model.
[[nodiscard]] std::function<void()> plan_estimator(model::StateReader& saved, std::string_view name,
                                                   const GradientAt::Tensors& tensors);

/// What `plan` reads in an archive, and nothing else may be there; written at once.
void load_estimator(torch::serialize::InputArchive& archive, std::string_view name,
                    const std::function<std::function<void()>(model::StateReader&)>& plan);

}  // namespace gossip::optim::detail
