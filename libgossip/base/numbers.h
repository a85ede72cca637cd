// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Numbers that come as text from outside: command lines, environment variables, files.

#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <libgossip/base/error.h>

namespace gossip {

template <class T>
concept Number = std::integral<T> || std::floating_point<T>;

/// The whole of `text` as a decimal number, maybe with a sign. Nothing for any other text: spaces,
/// more behind the number, what T cannot hold, and what is not finite.
template <Number T>
[[nodiscard]] std::optional<T> parse_number(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  T value{};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end) return std::nullopt;
  if constexpr (std::floating_point<T>) {
    if (!std::isfinite(value)) return std::nullopt;
  }
  return value;
}

/// What a number of type T must be, such as "a whole number between 1 and 9".
template <Number T>
[[nodiscard]] std::string expected_number(T least = std::numeric_limits<T>::lowest(),
                                          T most = std::numeric_limits<T>::max()) {
  return fmt::format("a {} between {} and {}", std::integral<T> ? "whole number" : "number", least,
                     most);
}

/// The whole of `text` as a number from `least` to `most`. Throws gossip::Error, naming `what` it
/// is for, the text and the range, for any other text.
template <Number T>
[[nodiscard]] T number_within(std::string_view what, std::string_view text,
                              T least = std::numeric_limits<T>::lowest(),
                              T most = std::numeric_limits<T>::max()) {
  const std::optional<T> value = parse_number<T>(text);
  GOSSIP_CHECK(value && *value >= least && *value <= most, "{} is '{}': it must be {}.", what, text,
               expected_number(least, most));
  return *value;
}

}  // namespace gossip
