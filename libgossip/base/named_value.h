// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// A number or a text with a name: what is saved beside vectors.

#include <cstdint>
#include <string>
#include <variant>

namespace gossip {

using Value = std::variant<bool, std::int64_t, double, std::string>;

struct NamedValue {
  std::string name;
  Value value;
};

}  // namespace gossip
