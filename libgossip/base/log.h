// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Lines on standard error that say which rank they come from.

#include <string_view>

#include <fmt/format.h>

#include <libgossip/base/types.h>

namespace gossip {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// Writes one line, "gossip[rank]: message", in one piece. Lines below the level of the environment
/// variable GOSSIP_LOG (debug, info, warning, error; default info) are dropped; of the ranks other
/// than 0 only warnings and errors are shown unless the level is debug: a warning says what one
/// rank met. What all ranks know alike is for rank 0 to say. Threads: may be called from any.
void log_line(LogLevel level, Rank rank, std::string_view message);

template <class... Args>
void log(LogLevel level, Rank rank, fmt::format_string<Args...> format, Args&&... args) {
  log_line(level, rank, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace gossip
