// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <string>

#include <libgossip/base/log.h>

namespace gossip {
namespace {

LogLevel level_of_environment() {
  const char* text = std::getenv("GOSSIP_LOG");
  const std::string_view level = text == nullptr ? "" : text;
  if (level == "debug") return LogLevel::kDebug;
  if (level == "warning") return LogLevel::kWarning;
  if (level == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

}  // namespace

void log_line(LogLevel level, Rank rank, std::string_view message) {
  static const LogLevel kShown = level_of_environment();
  if (level < kShown) return;
  if (rank != 0 && level < LogLevel::kWarning && kShown != LogLevel::kDebug) return;
  const char* prefix = level == LogLevel::kError     ? "error: "
                       : level == LogLevel::kWarning ? "warning: "
                                                     : "";
  const std::string line = fmt::format("gossip[{}]: {}{}\n", rank, prefix, message);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace gossip
