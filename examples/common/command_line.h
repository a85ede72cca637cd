// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How the examples read their command lines.

#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <libgossip/base/error.h>
#include <libgossip/base/numbers.h>

namespace gossip::examples {

namespace detail {

template <class T>
struct NumberIn {
  using Type = T;
};
template <class T>
struct NumberIn<std::optional<T>> {
  using Type = T;
};
template <class T>
struct NumberIn<std::vector<T>> {
  using Type = T;
};

}  // namespace detail

/// An option for a number from `least` to `most`, or for several or none of such (a vector, an
/// optional). The whole of its text must be one, on the command line and in a file of options:
/// CLI11 alone reads what is too large as the largest, "-1" as one without a sign, "010" as 8.
template <class T, class Value = typename detail::NumberIn<T>::Type>
CLI::Option* add_number(CLI::App& app, const std::string& name, T& value, const std::string& help,
                        Value least = std::numeric_limits<Value>::lowest(),
                        Value most = std::numeric_limits<Value>::max()) {
  const auto read = [least, most](std::string& text) -> std::string {
    const std::optional<Value> number = parse_number<Value>(text);
    if (!number || *number < least || *number > most) {
      return fmt::format("'{}' is not {}", text, expected_number(least, most));
    }
    if constexpr (std::integral<Value>) text = std::to_string(*number);
    return "";
  };
  CLI::Option* option = app.add_option(name, value, help);
  option->transform(CLI::Validator(read, ""));
  if constexpr (!std::same_as<T, std::optional<Value>>) option->capture_default_str();
  return option;
}

/// False when only help was wanted, which it prints if this rank `speaks`. Throws gossip::Error for
/// what the program does not know.
inline bool parse_command_line(CLI::App& app, int argc, const char* const* argv, bool speaks) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success&) {
    if (speaks) fmt::print("{}", app.help());
    return false;
  } catch (const CLI::ParseError& error) {
    throw Error(fmt::format("{}. --help lists the options.", error.what()));
  }
  return true;
}

}  // namespace gossip::examples
