// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How fields of a record go into a checkpoint, and come back.

#include <concepts>
#include <cstdint>
#include <string>
#include <variant>

#include <libgossip/base/named_value.h>
#include <libgossip/model/state_dict.h>
#include <libgossip/train/metrics.h>

namespace gossip::train {

/// What is saved of a field. Whole numbers are saved with a sign: of those without one, the same
/// bits.
[[nodiscard]] inline Value to_save(const Field& field) {
  return std::visit(
      []<class T>(const T& value) {
        if constexpr (std::same_as<T, std::uint64_t>) {
          return Value(static_cast<std::int64_t>(value));
        } else {
          return Value(value);
        }
      },
      field.value);
}

/// The value of a field of type T that was saved under a name.
template <class T>
[[nodiscard]] T saved_value(model::StateReader& saved, const std::string& name) {
  if constexpr (std::same_as<T, std::uint64_t>) {
    return static_cast<std::uint64_t>(saved.value<std::int64_t>(name));
  } else {
    return saved.value<T>(name);
  }
}

/// The field that a value was saved of, where it is not known which type that had: whole numbers
/// have a sign.
[[nodiscard]] inline Field field_of(const NamedValue& saved) {
  return std::visit([&](const auto& value) { return Field{saved.name, value}; }, saved.value);
}

}  // namespace gossip::train
