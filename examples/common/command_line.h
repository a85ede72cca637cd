// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// How the examples read their command lines.

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <libgossip/base/error.h>

namespace gossip::examples {

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
