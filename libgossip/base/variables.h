// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Environment variables, as a function that tests can replace.

#include <functional>
#include <optional>
#include <string>

namespace gossip {

/// The text of the variable that is named, nothing where it is not set.
using Variables = std::function<std::optional<std::string>(const std::string& name)>;

/// This process's own variables.
[[nodiscard]] std::optional<std::string> environment_variable(const std::string& name);

/// What a variable says when it is a whole number; nothing when it is not set or another text.
[[nodiscard]] std::optional<int> number_in(const Variables& variables, const std::string& name);

}  // namespace gossip
