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

/// This process's own variables, as they are now.
[[nodiscard]] std::optional<std::string> environment_variable(const std::string& name);

/// The same as they were when the process started: what the program and its libraries have set
/// since does not count. Where the system does not keep that, as they are now.
[[nodiscard]] std::optional<std::string> initial_variable(const std::string& name);

/// What a variable says, a whole number from 0 on; nothing when it is not set or empty. Throws
/// gossip::Error, naming the variable and its text, when that is no such number.
[[nodiscard]] std::optional<int> number_in(const Variables& variables, const std::string& name);

}  // namespace gossip
